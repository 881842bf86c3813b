import numpy as np
import pytest
from PIL import Image

from doctor.invented import dataset, picture
from tagmask.config import FolderData, ToyData
from tagmask.config.choice import Choice
from tagmask.doctor.examination import SHORT, Examination, examine, first_look
from tagmask.doctor.findings import Finding
from tagmask.doctor.tags.judge import Judge
from tagmask.errors import TagmaskError


@pytest.fixture
def photos(tmp_path):
    """Thirty photographs: two classes, a picture in both splits."""
    rows = ["image,tags,split"]
    for number in range(30):
        Image.fromarray(picture(number if number != 25 else 1, (96, 128))).save(tmp_path / f"{number:02d}.png")
        rows.append(f"{number:02d}.png,{'cat' if number % 2 else 'dog'},{'val' if number >= 20 else 'train'}")
    (tmp_path / "tags.csv").write_text("\n".join(rows))
    return tmp_path


def keys(found: Examination) -> list[str]:
    return [finding.key for finding in found.findings]


def test_a_folder_is_examined_from_counts_to_a_command(photos):
    found = examine(FolderData(), photos, workers=0)
    assert keys(found) == ["duplicates-across-splits", "classes-too-few", "few-validation-images"]
    assert [(pair.first.id, pair.second.id) for pair in found.twins] == [("01", "25")]
    assert (found.verdict, found.exit_code(), found.exit_code(strict=True)) == ("warn", 0, 1)
    assert "2 warnings" in found.sentence
    assert found.sizes.middle == (96, 128)
    assert found.recommendation.recipe == "auto"
    assert found.doubts is None


def test_what_a_run_would_refuse_is_a_stop_and_the_rest_is_examined(photos):
    (photos / "03.png").write_bytes(b"not an image")
    found = examine(FolderData(), photos, workers=0)
    assert keys(found)[:3] == ["data-refused", "unreadable-images", "duplicates-across-splits"]
    assert "03.png" in found.findings[0].what
    assert (found.verdict, found.exit_code()) == ("stop", 2)
    assert found.census.training_images == 19
    assert "why a run refuses the data" in found.findings[1].why
    assert "data-note" not in keys(found)  # that it is left out has been said
    skipped = examine(FolderData(on_bad_image="skip"), photos, workers=0)
    assert keys(skipped)[0] == "unreadable-images"
    assert skipped.verdict == "warn"


def test_masks_that_do_not_fit_are_a_stop_and_the_images_are_counted(photos):
    (photos / "masks").mkdir()
    Image.fromarray(np.full((5, 5), 1, np.uint8)).save(photos / "masks" / "00.png")
    found = examine(FolderData(masks="masks"), photos, workers=0)
    assert keys(found)[0] == "data-refused"
    assert found.census.training_images == 20


def test_a_layout_that_was_recognised_is_told_also_if_it_cannot_be_read(photos):
    layout = Choice("data", {"kind": "coco"}, "there are annotations.")
    for config in (FolderData(), FolderData(tags="none.csv")):
        (told,) = (each for each in examine(config, photos, workers=0, layout=layout).findings if "layout" in each.key)
        assert "there are annotations." in told.what
        assert """--set 'data={"kind": "coco"}'""" in told.do


def test_data_that_cannot_be_read_at_all_are_a_stop(tmp_path):
    found = examine(FolderData(), tmp_path / "gone", workers=0)
    assert keys(found) == ["data-refused"]
    assert found.census is found.recommendation is None


def test_a_single_training_image_is_a_stop(photos):
    (photos / "tags.csv").write_text("image,tags,split\n00.png,cat,train\n")
    found = examine(FolderData(), photos, workers=0)
    assert keys(found)[0] == "few-training-images"
    assert found.exit_code() == 2


def test_drawn_scenes_are_ready():
    found = examine(ToyData(num_train=240, num_val=20, size=48), None, workers=0)
    assert (found.verdict, found.exit_code(strict=True)) == ("ready", 0)
    assert found.sentence.startswith("Ready")


class Strict(Judge):
    """Doubts the first image it may see."""

    def __init__(self, error: str = "") -> None:
        self.error = error

    def check(self) -> None:
        if self.error:
            raise TagmaskError(self.error)

    def doubts(self, dataset, census, readable, twins, workers):
        assert census.training_images == 20
        assert len(twins) == 1
        return (), (Finding("tags-doubtful", "warn", f"One of {len(readable)}."),)


def test_a_judge_is_asked_and_may_refuse_before_any_work(photos):
    found = examine(FolderData(), photos, judge=Strict(), workers=0)
    assert "One of 30." in [finding.what for finding in found.findings]
    assert found.doubts == ()
    with pytest.raises(TagmaskError, match="no cleanlab"):
        examine(FolderData(), photos / "gone", judge=Strict("no cleanlab"), workers=0)


# ── the short form ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_short_form_tells_warnings_of_counts_alone(photos):
    few = dataset(["cat", "dog"], [(0,)] * 3 + [(1,)] * 60 + [()] * 30)
    lines = first_look(few, FolderData(), photos)
    assert len(lines) == 2
    assert lines[0].startswith("warning: 1 class with fewer than 20 training images: cat (3).")
    assert lines[1].endswith(f"tagmask doctor {photos}")
    assert len(first_look(few, ToyData(), None)) == 1
    assert first_look(dataset(["cat", "dog"], [(0,)] * 60 + [(1,)] * 60), FolderData(), photos) == []


def test_the_short_form_stays_short(photos):
    names = [f"{letter * 9}{other * 9}{end}" for letter in "abcd" for other in "xyz" for end in ("", "s")]
    pairs = dataset(names, [(number,) for number in range(len(names)) for _ in range(60 if number % 2 else 1)])
    lines = first_look(pairs, FolderData(), photos)
    assert len(lines) == SHORT + 2
    assert lines[-2] == "and 6 more warnings"


def test_the_short_form_does_not_repeat_the_notes():
    everywhere = [(0,)] * 60
    assert "'cat' is on 60" in first_look(dataset(["cat"], everywhere), FolderData(), None)[0]
    noted = dataset(["cat"], everywhere, notes=["Every training image has the tag cat: so."])
    assert first_look(noted, FolderData(), None) == []
