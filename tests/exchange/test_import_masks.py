import json
import shutil

import numpy as np
import pytest
from PIL import Image

from exchange.conftest import IDS, SIZE, drawn_mask
from tagmask.errors import TagmaskError
from tagmask.exchange.export_masks import export_masks
from tagmask.exchange.formats import FORMATS
from tagmask.exchange.import_masks import import_masks
from tagmask.reviews.store import Review


def changed(path, value=1):
    """Paint two rows of a mask file, as a person would."""
    with Image.open(path) as image:
        pixels, palette = np.array(image), image.getpalette()
    pixels[5:7] = value
    painted = Image.fromarray(pixels)
    painted.putpalette(palette)
    painted.save(path)


@pytest.mark.parametrize("form", FORMATS)
def test_what_nobody_has_changed_is_accepted(form, photo_run, tmp_path):
    export_masks(photo_run, form, tmp_path / "out")
    done = import_masks(photo_run, tmp_path / "out", form)
    assert done.fates == {"accepted": len(IDS)}
    assert done.lines() == ["6 masks accepted, 0 corrected"]
    for number, record in enumerate(photo_run.training_records):
        assert photo_run.reviews.review(record.id) == Review(decision="accepted")
        assert np.array_equal(photo_run.reviews.mask(record.id, SIZE), drawn_mask(number))
    assert import_masks(photo_run, tmp_path / "out", form).fates == {"unchanged": len(IDS)}


@pytest.mark.parametrize("form", FORMATS)
def test_masks_beside_copied_photographs_come_back(form, photo_run, tmp_path):
    export_masks(photo_run, form, tmp_path / "out", photographs="copy")
    assert import_masks(photo_run, tmp_path / "out", form).fates == {"accepted": len(IDS)}


def test_what_was_changed_is_corrected(photo_run, tmp_path):
    export_masks(photo_run, "voc", tmp_path / "out")
    changed(tmp_path / "out" / "SegmentationClass" / "größe__x.y.png")
    assert import_masks(photo_run, tmp_path / "out", "voc").fates == {"accepted": 5, "corrected": 1}
    assert photo_run.reviews.review("größe/x.y") == Review(decision="corrected")
    assert (photo_run.reviews.mask("größe/x.y", SIZE)[5:7] == 1).all()


def test_what_yolo_cannot_tell_stays_without_label(photo_run, tmp_path):
    export_masks(photo_run, "yolo", tmp_path / "out")
    labels = tmp_path / "out" / "labels" / "train" / "1.txt"
    labels.write_text("")
    assert import_masks(photo_run, tmp_path / "out", "yolo").fates == {"accepted": 5, "corrected": 1}
    number = [record.id for record in photo_run.training_records].index("1")
    assert np.array_equal(photo_run.reviews.mask("1", SIZE), drawn_mask(number).clip(-1, 0))


def test_what_a_person_has_said_is_kept_unless_asked(photo_run, tmp_path):
    export_masks(photo_run, "fiftyone", tmp_path / "out")
    photo_run.reviews.write("1", Review(decision="rejected", tags=("cat",)))
    other = drawn_mask(5)
    photo_run.reviews.write("größe/x.y", Review(decision="corrected"), other * 0)
    photo_run.reviews.write("a_b__1", Review(tags=("big dog",)))
    done = import_masks(photo_run, tmp_path / "out", "fiftyone")
    assert done.fates == {"accepted": 4, "kept": 2}
    assert "2 reviews say otherwise and were kept; --overwrite replaces them" in done.lines()
    assert photo_run.reviews.review("1") == Review(decision="rejected", tags=("cat",))
    assert photo_run.reviews.review("a_b__1") == Review(decision="accepted", tags=("big dog",))
    assert import_masks(photo_run, tmp_path / "out", "fiftyone", overwrite=True).fates == {
        "accepted": 2,
        "unchanged": 4,
    }
    assert photo_run.reviews.review("1") == Review(decision="accepted", tags=("cat",))


def test_reviewed_masks_go_out_and_come_back(photo_run, tmp_path):
    photo_run.reviews.write("1", Review(decision="corrected"), drawn_mask(5))
    export_masks(photo_run, "label-studio", tmp_path / "out")
    done = import_masks(photo_run, tmp_path / "out" / "tasks.json", "label-studio")
    assert done.fates == {"accepted": 5, "unchanged": 1}


def test_unknown_images_and_those_of_validation_are_told(photo_run, tmp_path):
    export_masks(photo_run, "voc", tmp_path / "out")
    masks = tmp_path / "out" / "SegmentationClass"
    for name in ("other", "val"):
        shutil.copy(masks / "1.png", masks / f"{name}.png")
    done = import_masks(photo_run, tmp_path / "out", "voc")
    assert (done.unknown, done.validation) == (("other",), 1)
    assert done.lines()[1:] == [
        "1 masks are of validation images, which are not reviewed, and were left out",
        "1 images are none of the run's: other",
    ]
    export_masks(photo_run, "voc", tmp_path / "val", "predictions")
    with pytest.raises(TagmaskError, match="of 1 validation images alone"):
        import_masks(photo_run, tmp_path / "val", "voc")


def test_names_are_enough_without_an_index(photo_run, tmp_path):
    export_masks(photo_run, "cvat", tmp_path / "out")
    (tmp_path / "out" / "tagmask.json").unlink()
    names = {path.stem for path in (tmp_path / "out" / "SegmentationClass").rglob("*.png")}
    for twin in {"1-2"} & names:  # the one of two names that differ in case alone
        next((tmp_path / "out" / "SegmentationClass").rglob(f"{twin}.png")).unlink()
    for odd in (tmp_path / "out" / "SegmentationClass").rglob("_nul.png"):
        odd.unlink()
    assert import_masks(photo_run, tmp_path / "out", "cvat").fates == {"accepted": 4}


# ── refused as a whole ───────────────────────────────────────────────────────────────────────────────────────────────


def refuse(run, folder, form, words):
    with pytest.raises(TagmaskError, match=words) as told:
        import_masks(run, folder, form)
    assert run.reviews.is_empty
    assert not run.reviews.folder.exists() or not list(run.reviews.folder.rglob("*.*"))
    return str(told.value)


def test_one_broken_mask_refuses_all(photo_run, tmp_path):
    export_masks(photo_run, "voc", tmp_path / "out")
    masks = tmp_path / "out" / "SegmentationClass"
    (masks / "1.png").write_bytes((masks / "1.png").read_bytes()[:60])
    Image.new("P", (5, 5)).save(masks / "größe__x.y.png")
    changed(masks / "a_b__1-2.png" if (masks / "a_b__1-2.png").exists() else masks / "a_b__1.png", 77)
    text = refuse(photo_run, tmp_path / "out", "voc", "3 masks in .* cannot be taken, so none was")
    assert "it has 5 x 5 rows x columns and its image 12 x 16" in text
    assert "it holds 77; expected 0, 1, 2, 255" in text


def test_two_masks_of_one_image_are_refused(photo_run, tmp_path):
    export_masks(photo_run, "voc", tmp_path / "out")
    masks = tmp_path / "out" / "SegmentationClass"
    (masks / "more").mkdir()
    shutil.copy(masks / "1.png", masks / "more" / "1.png")
    refuse(photo_run, tmp_path / "out", "voc", "two masks are of the image 1: .*remove one of them")


def test_names_that_may_mean_several_images_are_refused(photo_run, tmp_path):
    (tmp_path / "x").mkdir()
    image = {"id": 1, "file_name": "train/1.jpg", "height": 12, "width": 16}
    other = {"id": 2, "file_name": "b/1.jpg", "height": 12, "width": 16}
    content = {"images": [image, other], "annotations": [], "categories": [{"id": 1, "name": "cat"}]}
    (tmp_path / "x" / "a.json").write_text(json.dumps(content))
    refuse(photo_run, tmp_path / "x", "coco", "two masks are of the image|may be")


@pytest.mark.parametrize("name", ["../../1", "/etc/passwd", "..", "C:\\1.png", "a\0b"])
def test_paths_that_lead_elsewhere_are_unknown_images(name, photo_run, tmp_path):
    task = {"data": {"tagmask_id": name}, "annotations": [{"result": []}]}
    known = {"data": {"tagmask_id": "a_b__1"}, "annotations": [{"result": []}]}
    path = tmp_path / "tasks.json"
    path.write_text(json.dumps([task, known]))
    before = {each for each in tmp_path.rglob("*") if "reviews" not in each.parts}
    done = import_masks(photo_run, path, "label-studio")
    assert len(done.unknown) == 1
    assert done.fates == {"corrected": 1}
    assert {each for each in tmp_path.rglob("*") if "reviews" not in each.parts} == before


def test_folders_of_something_else_are_refused(photo_run, tmp_path):
    refuse(photo_run, tmp_path / "nothing", "voc", "no such file or folder")
    export_masks(photo_run, "ultralytics-semantic", tmp_path / "out")
    refuse(photo_run, tmp_path / "out", "yolo", "written as ultralytics-semantic|names 'background'|missing")
    (tmp_path / "out" / "tagmask.json").unlink()
    for path in (tmp_path / "out" / "masks").rglob("*.png"):
        path.rename(path.with_name(f"other-{path.name}"))
    refuse(photo_run, tmp_path / "out", "ultralytics-semantic", "none of the 6 masks in")
