import json

import numpy as np
import pytest
from PIL import Image

from exchange.conftest import IDS
from tagmask.config.recipes import load_recipe
from tagmask.errors import TagmaskError
from tagmask.exchange import export_masks as module
from tagmask.exchange.export_masks import export_masks
from tagmask.exchange.formats import FORMATS
from tagmask.reviews.store import Review
from tagmask.stages.run import begin_run
from typed import TINY, contents


def files(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("form", FORMATS)
def test_a_run_stays_as_it_is_and_every_image_has_its_mask(form, photo_run, tmp_path):
    before = contents(photo_run.folder.path)
    done = export_masks(photo_run, form, tmp_path / "out")
    assert str(done) == "6 pseudo masks"
    assert contents(photo_run.folder.path) == before
    index = json.loads((tmp_path / "out" / "tagmask.json").read_text())
    assert sorted(index["images"].values()) == sorted(IDS)
    assert index["classes"] == list(photo_run.dataset.classes)
    copied = [path for path in (tmp_path / "out").rglob("*") if path.suffix == ".jpg"]
    assert len(copied) == (5 if FORMATS[form].photographs == "copy" else 0)


def test_names_of_flat_formats(photo_run, tmp_path):
    export_masks(photo_run, "yolo", tmp_path / "out")
    found = files(tmp_path / "out")
    assert len(found) == 2 + 6 + 6
    assert {"images/train/1.png", "images/train/größe__x.y.jpg", "labels/train/größe__x.y.txt"} <= found
    assert {"labels/train/_-c___nul.txt", "images/train/_-c___nul.jpg"} <= found


def test_cvat_keeps_folders_but_for_names_that_some_systems_take_for_the_same(photo_run, tmp_path):
    export_masks(photo_run, "cvat", tmp_path / "out", photographs="copy")
    found = files(tmp_path / "out" / "JPEGImages")
    assert {"größe/x.y.jpg", "1.png", "a_b__1.jpg"} <= found
    assert len({"a b/1.jpg", "A b/1.jpg"} & found) == 1
    assert len({"a b/1-2.jpg", "A b/1-2.jpg"} & found) == 1


def test_photographs_are_copied_linked_or_left(photo_run, tmp_path):
    source = photo_run.dataset.image_path(next(r for r in photo_run.training_records if r.id == "1"))
    for way in ("copy", "link", "none"):
        export_masks(photo_run, "voc", tmp_path / way, photographs=way)
    copied, linked = (tmp_path / way / "JPEGImages" / "1.png" for way in ("copy", "link"))
    assert copied.read_bytes() == linked.read_bytes() == source.read_bytes()
    assert (copied.is_symlink(), linked.is_symlink()) == (False, True)
    assert not (tmp_path / "none" / "JPEGImages").exists()


def test_photographs_that_the_run_sees_otherwise_are_written_as_it_sees_them(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    turned = Image.Exif()
    turned[0x0112] = 6
    for number in range(3):
        Image.new("RGB", (40, 20), (number, 9, 9)).save(
            photos / f"{number}.jpg", **({} if number else {"exif": turned})
        )
    (photos / "tags.csv").write_text("image,tags,split\n0.jpg,cat,train\n1.jpg,cat,train\n2.jpg,dog,train\n")
    settings = [f"{key}={value}" for key, value in TINY.items()]
    run = begin_run(load_recipe("folder-cpu-cam", [*settings, "data.val_split=null"]), photos, tmp_path / "run")
    for record in run.training_records:
        mask = np.zeros(run.dataset.read_image(record).shape[:2], np.uint8)
        path = run.folder.mask(record.id)
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(mask).save(path)
    run.folder.note("make-masks", done=True)
    done = export_masks(run, "fiftyone", tmp_path / "out")
    assert done.notes[0].startswith("1 photographs were written anew as PNG")
    assert {path.name for path in (tmp_path / "out" / "data").iterdir()} == {"0.png", "1.jpg", "2.jpg"}
    with Image.open(tmp_path / "out" / "data" / "0.png") as image:
        assert image.size == (20, 40)
    assert export_masks(run, "coco", tmp_path / "coco").notes[0].startswith("1 masks have another size or turn")


def test_scenes_that_are_drawn_are_written(tiny_run, tmp_path):
    done = export_masks(tiny_run, "ultralytics-semantic", tmp_path / "out", "predictions")
    assert str(done) == "2 predicted masks"
    assert len(list((tmp_path / "out" / "images" / "val").glob("*.png"))) == 2
    assert "train: images/val\nval: images/val\n" in (tmp_path / "out" / "data.yaml").read_text()


def test_rejected_images_are_counted(photo_run, tmp_path):
    photo_run.reviews.write("1", Review(decision="rejected"))
    done = export_masks(photo_run, "coco", tmp_path / "out")
    assert done.notes == ("left out, because their masks have been rejected: 1 of the images.",)
    assert str(done) == "5 pseudo masks"


def test_what_is_there_is_never_replaced(photo_run, tmp_path):
    export_masks(photo_run, "coco", tmp_path / "out")
    before = contents(tmp_path / "out")
    for form in ("coco", "voc"):
        with pytest.raises(TagmaskError, match="is not empty; nothing in it is replaced"):
            export_masks(photo_run, form, tmp_path / "out")
    assert contents(tmp_path / "out") == before


def test_nothing_is_left_of_an_export_that_fails(photo_run, tmp_path):
    photo_run.folder.mask("größe/x.y").write_bytes(b"")
    with pytest.raises(TagmaskError, match=r"x\.y\.png"):
        export_masks(photo_run, "voc", tmp_path / "new" / "out")
    assert list((tmp_path / "new").iterdir()) == []


def test_polygons_are_for_coco_alone(photo_run, tmp_path):
    with pytest.raises(TagmaskError, match="goes with --to coco"):
        module.export_masks(photo_run, "voc", tmp_path / "out", segmentation="polygons")
