import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tagmask.config import VocData
from tagmask.conventions import IGNORE
from tagmask.data.datasets import open_dataset, score_records
from tagmask.data.datasets.voc import VOC_CLASSES, Voc
from tagmask.data.images import write_mask
from tagmask.errors import TagmaskError

TRAIN = [f"2007_{number:06d}" for number in range(10)]
EXTRA = [f"2008_{number:06d}" for number in range(10)]
VAL = ["2009_000001", "2009_000002"]


def annotation(*names: str) -> str:
    objects = "".join(f"<object><name>{name}</name><part><name>head</name></part></object>" for name in names)
    return f"<annotation><filename>x</filename>{objects}</annotation>"


def voc(root: Path) -> Path:
    """Twenty training images, one class each: ten official ones with masks, ten additional ones without."""
    folder = root / "VOC2012"
    for name in ("JPEGImages", "Annotations", "SegmentationClass", "ImageSets/Segmentation"):
        (folder / name).mkdir(parents=True)
    for number, key in enumerate([*TRAIN, *EXTRA, *VAL]):
        Image.new("RGB", (5, 4)).save(folder / "JPEGImages" / f"{key}.jpg")
        name = VOC_CLASSES[number % 20]
        (folder / "Annotations" / f"{key}.xml").write_text(annotation(name, name, "person"))
    for number, key in [*enumerate(TRAIN), *enumerate(VAL)]:
        mask = np.array([[0, 1, 15, 20, IGNORE], *[[number + 1] * 5] * 3])
        write_mask(folder / "SegmentationClass" / f"{key}.png", mask)
    lists = folder / "ImageSets" / "Segmentation"
    (lists / "train.txt").write_text("\n".join(TRAIN))
    (lists / "val.txt").write_text("\n".join(VAL))
    augmented = [f"/JPEGImages/{key}.jpg /SegmentationClassAug/{key}.png" for key in (*TRAIN, *EXTRA)]
    (lists / "train_aug.txt").write_text("\n".join(augmented))
    return folder


@pytest.mark.parametrize("below", ["", "VOC2012"])
def test_the_augmented_training_set(tmp_path: Path, below: str):
    voc(tmp_path)
    config = VocData()
    data = open_dataset(config, tmp_path / below)
    assert data.classes == VOC_CLASSES
    assert [record.id for record in data.split("train_aug")] == [*TRAIN, *EXTRA]
    assert [record.id for record in data.split("val")] == VAL
    assert data.records[3].tags == (3, 14)
    assert data.records[14].tags == (14,)
    assert [record.has_mask for record in data.records] == [True] * 10 + [False] * 10 + [True] * 2
    assert [record.id for record in score_records(data, config, tmp_path)] == TRAIN


def test_devkit_one_folder_up(tmp_path: Path):
    voc(tmp_path / "VOCdevkit")
    assert len(Voc(VocData(), tmp_path).records) == 22


def test_pixels_and_masks(tmp_path: Path):
    voc(tmp_path)
    data = pickle.loads(pickle.dumps(Voc(VocData(), tmp_path)))
    mask = data.read_mask(data.records[0])
    assert mask.tolist() == [[0, 1, 15, 20, IGNORE], *[[1] * 5] * 3]
    assert data.read_mask(data.split("train_aug")[12]) is None
    assert data.read_image(data.records[0]).shape == (4, 5, 3)


def test_other_classes_are_unlabelled(tmp_path: Path):
    voc(tmp_path)
    data = Voc(VocData(classes=("tvmonitor", "aeroplane", "person")), tmp_path)
    assert data.records[0].tags == (1, 2)
    assert data.records[1].tags == (2,)
    mask = data.read_mask(data.records[0])
    assert mask is not None
    assert mask[0].tolist() == [0, 2, 3, 1, IGNORE]
    data = Voc(VocData(classes=("person",)), tmp_path)
    mask = data.read_mask(data.records[0])
    assert mask is not None
    assert mask[0].tolist() == [0, IGNORE, 1, IGNORE, IGNORE]
    with pytest.raises(TagmaskError, match="zebra"):
        Voc(VocData(classes=("zebra",)), tmp_path)


def test_other_splits(tmp_path: Path):
    folder = voc(tmp_path)
    lists = folder / "ImageSets" / "Segmentation"
    (lists / "trainval.txt").write_text("\n".join([*TRAIN, *VAL]))
    (lists / "test.txt").write_text("2010_000001\n")
    Image.new("RGB", (5, 4)).save(folder / "JPEGImages" / "2010_000001.jpg")
    names = (*VOC_CLASSES[:10], "person")
    data = Voc(VocData(train_split="trainval", val_split="test", classes=names), tmp_path)
    assert len(data.split("trainval")) == 12
    test = data.split("test")[0]
    assert (test.tags, test.has_mask) == ((), False)
    data = Voc(VocData(train_split="trainval", classes=names), tmp_path)
    assert (len(data.split("trainval")), len(data.split("val"))) == (12, 0)
    assert len(Voc(VocData(train_split="train", val_split=None, classes=names), tmp_path).records) == 10


def test_the_additional_list_goes_by_other_names(tmp_path: Path):
    folder = voc(tmp_path)
    lists = folder / "ImageSets" / "Segmentation"
    (lists / "train_aug.txt").rename(lists / "trainaug.txt")
    assert len(Voc(VocData(), tmp_path).split("train_aug")) == 20
    (lists / "trainaug.txt").rename(folder / "sbd.txt")
    assert len(Voc(VocData(train_list="sbd.txt"), tmp_path).split("train_aug")) == 20
    with pytest.raises(TagmaskError, match=r"train_aug\.txt is missing.*data\.train_list"):
        Voc(VocData(), tmp_path)


def test_a_tag_table_in_place_of_annotations(tmp_path: Path):
    folder = voc(tmp_path)
    rows = [f"{key},{VOC_CLASSES[number]}" for number, key in enumerate([*TRAIN, *EXTRA])]
    (folder / "tags.csv").write_text("\n".join(["image,tags", *rows]))
    data = Voc(VocData(tag_table="tags.csv"), tmp_path)
    assert [record.tags for record in data.split("train_aug")] == [(number,) for number in range(20)]
    (folder / "tags.csv").write_text("\n".join(["image,tags", *rows[1:], f"{VAL[0]},zebra"]))
    with pytest.raises(TagmaskError) as raised:
        Voc(VocData(tag_table="tags.csv"), tmp_path)
    for words in ("'zebra'", f"without annotations (1): {TRAIN[0]}", "without a training image (1): aeroplane"):
        assert words in str(raised.value)


def test_all_faults_at_once(tmp_path: Path):
    folder = voc(tmp_path)
    (folder / "JPEGImages" / f"{TRAIN[0]}.jpg").unlink()
    (folder / "JPEGImages" / f"{TRAIN[1]}.jpg").write_bytes(b"")
    (folder / "Annotations" / f"{TRAIN[2]}.xml").unlink()
    with pytest.raises(TagmaskError) as raised:
        Voc(VocData(), tmp_path)
    for key, kind in zip(TRAIN, ("without a file", "unreadable", "without annotations"), strict=False):
        assert any(key in line and kind in line for line in str(raised.value).splitlines())


@pytest.mark.parametrize(
    "text",
    [
        '<!DOCTYPE a [<!ENTITY b "c">]><annotation/>',
        "<annotation>",
        "",
        "<annotation><object>&b;</object></annotation>",
    ],
)
def test_damaged_and_dangerous_annotations(tmp_path: Path, text: str):
    folder = voc(tmp_path)
    (folder / "Annotations" / f"{TRAIN[0]}.xml").write_text(text)
    with pytest.raises(TagmaskError, match=f"{TRAIN[0]}.xml"):
        Voc(VocData(), tmp_path)


def test_wrong_folders(tmp_path: Path):
    with pytest.raises(TagmaskError, match="does not exist"):
        Voc(VocData(), tmp_path / "nowhere")
    with pytest.raises(TagmaskError, match="holds no VOC2012"):
        Voc(VocData(), tmp_path)


def test_list_entries_cannot_leave_the_folder(tmp_path: Path):
    folder = voc(tmp_path)
    (folder / "ImageSets" / "Segmentation" / "val.txt").write_text("../../../secret/2009_000001.jpg\n")
    data = Voc(VocData(), tmp_path)
    assert data.image_path(data.split("val")[0]) == folder / "JPEGImages" / "2009_000001.jpg"


def test_saliency_maps_of_a_folder(tmp_path: Path):
    folder = voc(tmp_path)
    (folder / "sal").mkdir()
    for key in (*TRAIN, *EXTRA[1:]):
        Image.new("L", (5, 4), 102).save(folder / "sal" / f"{key}.png")
    with pytest.raises(TagmaskError, match=rf"without a saliency map \(1\): {EXTRA[0]};"):
        Voc(VocData(saliency="sal"), tmp_path)
    Image.new("L", (10, 8), 102).save(folder / "sal" / f"{EXTRA[0]}.jpg", quality=100)
    data = Voc(VocData(saliency="sal"), tmp_path)
    first = data.read_saliency(data.records[0])
    assert first is not None
    np.testing.assert_allclose(first, np.full((4, 5), 0.4), atol=1e-6)
    assert Voc(VocData(saliency="built-in"), tmp_path).read_saliency(data.records[0]) is None


# ── own classes ──────────────────────────────────────────────────────────────────────────────────────────────────────


def own(root: Path, *names: tuple[str, ...] | None, masks: bool = False) -> Path:
    """Images ``f0`` ... without lists; None: no annotation."""
    folder = root / "VOC2012"
    for name in ("JPEGImages", "Annotations", "SegmentationClass"):
        (folder / name).mkdir(parents=True)
    for number, each in enumerate(names):
        Image.new("RGB", (5, 1)).save(folder / "JPEGImages" / f"f{number}.jpg")
        if each is not None:
            (folder / "Annotations" / f"f{number}.xml").write_text(annotation(*each))
        if masks:
            write_mask(folder / "SegmentationClass" / f"f{number}.png", np.array([[0, 1, 2, IGNORE, 0]]))
    return root


TRAIN_ALL = {"train_split": "train", "val_split": None}
OWN = (("rust",), ("crack", "rust"), ("crack",), ())


def test_classes_come_from_the_annotations(tmp_path: Path):
    data = Voc(VocData(**TRAIN_ALL), own(tmp_path, *OWN, masks=True))
    assert (data.classes, data.name) == (("crack", "rust"), "VOC2012")
    assert [record.tags for record in data.records] == [(1,), (0, 1), (0,), ()]
    assert data.score_ids is None
    assert data.read_mask(data.records[0]).tolist() == [[0, 1, 2, IGNORE, 0]]
    assert any("classes are those of the XML annotations, sorted: crack, rust" in note for note in data.notes)


def test_own_classes_can_be_named_in_their_order(tmp_path: Path):
    data = Voc(VocData(classes=("rust", "crack"), **TRAIN_ALL), own(tmp_path, *OWN, masks=True))
    assert [record.tags for record in data.records] == [(0,), (0, 1), (1,), ()]
    assert data.read_mask(data.records[0]).tolist() == [[0, 1, 2, IGNORE, 0]]  # numbers are those of data.classes


def test_names_that_are_none_of_the_own_classes_are_said(tmp_path: Path):
    data = Voc(VocData(classes=("crack",), **TRAIN_ALL), own(tmp_path, ("crack",), ("Crack",), ("rust",)))
    assert [record.tags for record in data.records] == [(0,), (), ()]
    assert any("'Crack' (1 images), 'rust' (1 images)" in note for note in data.notes)


def test_some_classes_of_voc_keep_its_numbers_in_masks(tmp_path: Path):
    data = Voc(VocData(**TRAIN_ALL), own(tmp_path, ("dog",), ("cat",)))
    assert data.classes == ("cat", "dog")
    assert any("numbered as those of VOC" in note for note in data.notes)


def test_classes_that_differ_in_case_are_pointed_out(tmp_path: Path):
    data = Voc(VocData(**TRAIN_ALL), own(tmp_path, ("Crack",), ("crack",), ("rust",)))
    assert any("differ only in case" in note and "Crack, crack" in note for note in data.notes)


def test_an_image_without_annotation_shows_nothing_and_that_is_said(tmp_path: Path):
    data = Voc(VocData(**TRAIN_ALL), own(tmp_path, *OWN, None))
    assert data.records[4].tags == ()
    assert any("1 training images have no XML annotation and show no class: f4" in note for note in data.notes)


@pytest.mark.parametrize(("difficult", "tags"), [("tag", (0, 1)), ("leave_out", (0,))])
def test_difficult_objects_are_tags_or_not(tmp_path: Path, difficult: str, tags: tuple[int, ...]):
    own(tmp_path, *OWN)
    marked = "<object><name>rust</name><difficult>1</difficult></object>"
    text = f"<annotation><object><name>crack</name></object>{marked}</annotation>"
    (tmp_path / "VOC2012/Annotations/f1.xml").write_text(text)
    data = Voc(VocData(difficult=difficult, **TRAIN_ALL), tmp_path)
    assert data.records[1].tags == tags


def test_without_lists_a_share_is_held_out_and_every_class_is_learned(tmp_path: Path):
    own(tmp_path, *(("crack",) if number % 2 else ("rust",) for number in range(40)))
    data = open_dataset(VocData(train_split="train", val_fraction=0.3), tmp_path)
    assert 4 <= len(data.split("val")) <= 20
    assert len(data.split("train")) + len(data.split("val")) == 40


def test_one_id_of_two_files_is_a_problem_if_it_is_used(tmp_path: Path):
    own(tmp_path, *OWN)
    Image.new("RGB", (5, 1)).save(tmp_path / "VOC2012/JPEGImages/f0.png")
    with pytest.raises(TagmaskError, match=r"only in their extension \(1\): f0"):
        Voc(VocData(**TRAIN_ALL), tmp_path)


def test_photographs_may_be_of_any_kind(tmp_path: Path):
    own(tmp_path, *OWN)
    folder = tmp_path / "VOC2012/JPEGImages"
    (folder / "f0.jpg").rename(folder / "f0.JPEG")
    Image.new("RGB", (5, 1), "red").save(folder / "f1.png")
    (folder / "f1.jpg").unlink()
    data = Voc(VocData(bands=(2, 1, 0), **TRAIN_ALL), tmp_path)
    assert data.read_image(data.records[1])[0, 0].tolist() == [0, 0, 255]


def test_a_class_that_is_called_background_is_pointed_out(tmp_path: Path):
    data = Voc(VocData(**TRAIN_ALL), own(tmp_path, ("background",), ("rust",)))
    assert any("'background' is learned like any other" in note for note in data.notes)


def test_masks_of_own_classes_that_do_not_fit_are_refused_before_training(tmp_path: Path):
    folder = own(tmp_path, *OWN, masks=True)
    Voc(VocData(**TRAIN_ALL), folder)
    for path in sorted((folder / "VOC2012" / "SegmentationClass").iterdir()):
        write_mask(path, np.ones((7, 9), np.int32))
    with pytest.raises(TagmaskError, match=r"mask of another size than its image .*7 x 9"):
        Voc(VocData(**TRAIN_ALL), folder)


def test_official_masks_are_checked_before_anything_is_learned(tmp_path: Path):
    folder = voc(tmp_path)
    write_mask(folder / "SegmentationClass" / f"{TRAIN[0]}.png", np.array([[1, 2]]))
    (folder / "SegmentationClass" / f"{VAL[0]}.png").write_bytes(b"no picture")
    with pytest.raises(TagmaskError, match=r"(?s)unreadable mask \(1\).*another size than its image \(1\)"):
        Voc(VocData(), tmp_path)


def test_numbers_of_masks_may_mean_others_in_a_layout_of_voc_too(tmp_path: Path):
    folder = voc(tmp_path)
    for key in (*TRAIN, *EXTRA, *VAL):
        (folder / "Annotations" / f"{key}.xml").write_text(annotation("crack"))
    for key in (*TRAIN, *VAL):
        Image.new("L", (5, 4), 255).save(folder / "SegmentationClass" / f"{key}.png")
    with pytest.raises(TagmaskError, match=r"data\.mask_values=\{255: 1\}"):
        Voc(VocData(), tmp_path)
    data = Voc(VocData(mask_values={255: 1}), tmp_path)
    assert data.classes == ("crack",)
    assert np.unique(data.read_mask(data.records[0])).tolist() == [1]
