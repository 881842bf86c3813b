"""Data folders as people have them, through the command line: read rightly, or refused before anything is trained."""

import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from tagmask import cli
from tagmask.config.recipes import load_recipe
from tagmask.system.storage import read_json

Call = tuple[int, str]


class Photos:
    """Builds a data folder of small photographs and calls the command line on it."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.data, self.out, self._root = root / "photos", root / "out", root
        self._capsys, self._monkeypatch = capsys, monkeypatch
        content = load_recipe("folder-cpu-cam", TINY).model_dump(mode="json")
        (root / "tiny.yaml").write_text(yaml.safe_dump(content))

    def paint(self, *names: str, size: tuple[int, int] = (40, 30), orientation: int = 1) -> None:
        random = np.random.default_rng(len(names))
        exif = Image.Exif()
        exif[0x0112] = orientation
        for name in names:
            (self.data / name).parent.mkdir(parents=True, exist_ok=True)
            pixels = random.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
            Image.fromarray(pixels).save(self.data / name, exif=exif)

    def table(self, *lines: str, name: str = "tags.csv", encoding: str = "utf-8") -> None:
        self.data.mkdir(exist_ok=True)
        (self.data / name).write_text("\n".join(lines) + "\n", encoding=encoding)

    def mask(self, name: str, value: int | tuple[int, int, int], size: tuple[int, int] = (40, 30)) -> None:
        (self.data / "masks").mkdir(exist_ok=True)
        image = Image.new("L" if isinstance(value, int) else "RGB", size)
        image.paste(value, (5, 5, 20, 20))
        image.save(self.data / "masks" / f"{name}.png")

    def call(self, *arguments: object) -> Call:
        self._monkeypatch.setattr(sys, "argv", ["tagmask", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        printed = self._capsys.readouterr()
        return int(stopped.value.code or 0), " ".join((printed.out + printed.err).split())

    def begin(self, *settings: str) -> Call:
        given = [part for setting in settings for part in ("--set", setting)]
        return self.call("begin", self._root / "tiny.yaml", "--data", self.data, "--out", self.out, *given)

    def tags(self) -> dict[str, list[str]]:
        """The tags that the run begun has learned from, by image."""
        content = read_json(self.out / "data.json")
        names = content["classes"]
        return {key: [names[tag] for tag in image["tags"]] for key, image in content["images"].items()}


TINY = (
    *("name=tiny", "backbone.model=test_resnet", "backbone.weights=none", "training.epochs=null", "training.steps=2"),
    *("training.batch_size=2", "training.augment.crop=32", "training.augment.long_side=null", "training.workers=0"),
    *("maps.scales=[1.0]", "maps.workers=0", "affinity=null", "masks.workers=1", "data.val_fraction=0"),
)


@pytest.fixture
def photos(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Photos:
    """Four photographs, and no table yet."""
    built = Photos(tmp_path, capsys, monkeypatch)
    built.paint("a.jpg", "b.jpg", "c.jpg", "d.jpg")
    return built


def refused(call: Call, *words: str) -> None:
    code, text = call
    assert code == 2, text
    for word in words:
        assert word in text, text


ANSWER = {"a": ["cat"], "b": ["dog"], "c": ["cat", "dog"], "d": []}
TABLE = ("image,tags", "a.jpg,cat", "b.jpg,dog", "c.jpg,cat;dog", "d.jpg,")


# ── tables and paths ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "lines",
    [
        ("image,tags", "a.jpg,\"['cat']\"", "b.jpg,\"['dog']\"", "c.jpg,\"['cat', 'dog']\"", "d.jpg,[]"),
        ("Path,Sex,cat,dog", "a.jpg,f,1.0,", "b.jpg,m,,1.0", "c.jpg,f,1.0,1.0", "d.jpg,m,0.0,"),
        ("ImageID,Source,LabelName,Confidence", "a,v,cat,1", "a,v,dog,0", "b,v,dog,1", "c,v,cat,1",
         "c,v,dog,1", "d,v,cat,0"),
        ("sep=;", "image;tags", "a.jpg;cat", "b.jpg;dog", "c.jpg;cat,dog", "d.jpg;"),
        ("image ;tags ", "a.jpg ; cat ", "b.jpg ; dog ", "c.jpg ; cat, dog", "d.jpg ;  "),
        ("image,tags", "photos\\a.jpg,cat", ".\\b.jpg,dog", "./c.jpg,cat;dog", "D.JPG,"),
    ],
)  # fmt: skip
def test_tables_of_all_kinds_say_the_same(photos: Photos, lines: tuple[str, ...]):
    photos.table(*lines, encoding="utf-8-sig")
    code, text = photos.begin()
    assert code == 0, text
    assert photos.tags() == ANSWER


def test_a_json_with_a_byte_order_mark_is_found(photos: Photos):
    photos.table('{"a": ["cat"], "b": ["dog"], "c": ["cat", "dog"], "d": []}', name="tags.json", encoding="utf-8-sig")
    assert photos.begin()[0] == 0
    assert photos.tags() == ANSWER


def test_images_of_another_case_are_said(photos: Photos):
    photos.paint("IMG.JPG")
    photos.table(*TABLE, "img.jpg,cat")
    code, text = photos.begin()
    assert code == 0
    assert "note: 1 images were found in another case: img.jpg as IMG.JPG." in text


def test_markup_in_class_names_is_text(photos: Photos):
    photos.table("image,tags", "a.jpg,[/red]cat", "b.jpg,<b>dog</b> & co", "c.jpg,cat/kitten", "d.jpg,")
    code, text = photos.begin()
    assert code == 0, text
    assert photos.tags() == {"a": ["[/red]cat"], "b": ["<b>dog</b> & co"], "c": ["cat/kitten"], "d": []}


# ── tags ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("line", "words", "setting"),
    [
        ("b.jpg,Cat", "Cat / cat", "data.join_case=true"),
        ("b.jpg,background", "called background (1): background (1 images)", "data.not_classes=[background]"),
    ],
)
def test_doubtful_tags_are_refused_with_the_setting_that_goes_on(photos: Photos, line: str, words: str, setting: str):
    photos.table(*TABLE[:2], line, *TABLE[3:])
    refused(photos.begin(), words, setting)
    assert not photos.out.exists()
    assert photos.begin(setting)[0] == 0


def test_uncertain_labels_are_refused_with_the_setting_that_goes_on(photos: Photos):
    photos.table("image,cat,dog", "a.jpg,1,0", "b.jpg,-1,1", "c.jpg,0,0")
    refused(photos.begin(), "-1 in 1 row(s) of column 'cat'", "data.uncertain=negative")
    assert photos.begin("data.uncertain=negative")[0] == 0
    assert photos.tags()["b"] == ["dog"]


def test_a_single_image_is_too_few(photos: Photos):
    photos.table(*TABLE[:2])
    refused(
        photos.begin("data.val_fraction=0.9"), "there is 1 training image (a)", "at least 2 are needed", "val_fraction"
    )


# ── masks ────────────────────────────────────────────────────────────────────────────────────────────────────────────

MASKS = "data.masks=masks"


def test_masks_of_0_and_255_are_refused_with_the_setting_that_goes_on(photos: Photos):
    photos.table("image,tags", "a.jpg,spot", "b.jpg,", "c.jpg,spot")
    for name in "ac":
        photos.mask(name, 255)
    refused(photos.begin(MASKS), "spot", "set data.mask_values={255: 1}")
    assert photos.begin(MASKS, "data.mask_values={255: 1}")[0] == 0


def test_masks_in_colours_are_refused_with_the_setting_that_goes_on(photos: Photos):
    photos.table(*TABLE)
    photos.mask("a", (255, 0, 0))
    photos.mask("b", (0, 0, 255))
    refused(photos.begin(MASKS), "#ff0000", "#0000ff", "#000000", "data.mask_colours=")
    assert photos.begin(MASKS, 'data.mask_colours={"#ff0000": cat, "#0000ff": dog, "#000000": background}')[0] == 0


def test_masks_of_turned_photographs_are_refused_with_the_setting_that_goes_on(photos: Photos):
    photos.paint("a.jpg", orientation=6)
    photos.table(*TABLE)
    photos.mask("a", 1)
    refused(photos.begin(MASKS), "a (mask 30 x 40, image 40 x 30 rows x columns)", "data.exif=as_stored")
    assert photos.begin(MASKS, "data.exif=as_stored")[0] == 0


# ── data that change after the run has begun ─────────────────────────────────────────────────────────────────────────


def test_a_class_list_in_another_order_is_refused_by_later_calls(photos: Photos):
    photos.table(*TABLE)
    photos.table("cat", "dog", name="classes.txt")
    assert photos.begin()[0] == photos.call("train-method", photos.out)[0] == 0
    photos.table("dog", "cat", name="classes.txt")
    for call in (photos.begin(), photos.call("make-maps", photos.out), photos.call("evaluate", photos.out)):
        refused(call, "the classes were cat, dog and are dog, cat")


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (("image,cat,dog", "a,1,0", "b,0,1"), ("image,dog,cat", "a,0,1", "b,1,0"), "the classes were cat, dog"),
        (("image,tags", "a,cat", "b,dog"), ("image,tags", "a,dog", "b,cat"), "have other tags or another split: a, b"),
        (("image,tags", "a,cat", "b,dog"), ("image,tags", "a,cat", "b,dog", "c,"), "1 image(s) are new: c"),
    ],
)
def test_tables_that_change_are_noticed(photos: Photos, before: tuple[str, ...], after: tuple[str, ...], words: str):
    photos.table(*before)
    assert photos.begin()[0] == photos.call("train-method", photos.out)[0] == 0
    photos.table(*after)
    refused(photos.call("make-maps", photos.out), words)


def test_a_class_list_in_another_order_than_the_masks_is_refused(photos: Photos):
    photos.table(*TABLE[:4])
    photos.table("dog", "cat", name="classes.txt")
    for name, number in {"a": 1, "b": 2}.items():
        photos.mask(name, number)
    refused(photos.begin(MASKS), "cat", "dog", "data.classes")


# ── odd images ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_thin_and_tiny_images_are_said_and_worked_through(photos: Photos):
    photos.paint("a.jpg", size=(2000, 1))
    photos.paint("b.jpg", size=(3, 3))
    photos.table(*TABLE)
    code, text = photos.begin()
    assert code == 0
    assert "note: 2 images are less than 16 pixels across" in text
    assert "a (1 x 2000), b (3 x 3) rows x columns" in text
    for stage in ("train-method", "make-maps", "make-masks"):
        code, text = photos.call(stage, photos.out)
        assert code == 0, text
