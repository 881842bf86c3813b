import numpy as np
import pytest
import torch
from PIL import Image

from shared_runs import SIZE, TinyBackbone, tiny_backbone, tiny_recipe
from tagmask.config import FolderData, TimmBackbone
from tagmask.data.datasets import open_dataset
from tagmask.data.images import read_image
from tagmask.errors import TagmaskError
from tagmask.networks.backbones import build_backbone
from tagmask.networks.levels import main_levels
from tagmask.stages import pipeline
from tagmask.stages import saliency as stage
from tagmask.stages.checks import check_saliency, makes_saliency
from tagmask.stages.run import begin_run
from tagmask.stages.run_folder import RunFolder
from tagmask.stages.saliency import (
    SaliencyMaker,
    SaliencyReader,
    built_in_saliency,
    initial_backbone,
    reader,
    require_something_to_make,
)

EPS = "method={kind: eps}"
LEARNT = ("affinity.labels={kind: learnt}", "masks.background.rule=none")
BUILT_IN = "data.saliency=built-in"


def test_a_method_without_maps_is_refused_before_anything_begins(tmp_path):
    with pytest.raises(TagmaskError) as caught:
        begin_run(tiny_recipe(EPS, *LEARNT), None, tmp_path / "run")
    assert "--set data.saliency=built-in" in str(caught.value)
    assert "--set data.saliency=FOLDER" in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_other_methods_need_no_maps(tmp_path, scenes):
    check_saliency(tiny_recipe())
    assert not makes_saliency(tiny_recipe(BUILT_IN))
    assert reader(tiny_recipe(BUILT_IN), RunFolder(tmp_path), scenes) is None


def test_a_method_around_another_asks_for_what_that_one_needs():
    recipe = tiny_recipe("method={kind: ppc, base: {kind: eps}}", BUILT_IN)
    assert makes_saliency(recipe)
    with pytest.raises(TagmaskError, match="method 'eps' learns from saliency maps"):
        check_saliency(recipe.model_copy(update={"data": recipe.data.model_copy(update={"saliency": None})}))


def test_drawn_scenes_have_no_folder(tmp_path):
    with pytest.raises(TagmaskError, match=r"data\.saliency=built-in"):
        begin_run(tiny_recipe(EPS, "data.saliency=maps"), None, tmp_path)


def test_nothing_to_make_is_said():
    with pytest.raises(TagmaskError, match=r"nothing to make.*'cam' does not learn"):
        require_something_to_make(tiny_recipe())
    with pytest.raises(TagmaskError, match=r"nothing to make.*'maps'"):
        require_something_to_make(tiny_recipe(EPS, "data.saliency=maps"))
    require_something_to_make(tiny_recipe(EPS, BUILT_IN))


@pytest.fixture
def run(tmp_path):
    return begin_run(tiny_recipe(EPS, BUILT_IN, *LEARNT), None, tmp_path / "run")


def test_the_stage_writes_a_map_of_each_image_and_again_what_is_missing(run):
    pipeline.make_saliency(run)
    files = [run.folder.saliency(record.id) for record in run.training_records]
    assert run.folder.manifest()["make-saliency"]["images"] == 4
    for file in files:
        with Image.open(file) as image:
            assert (image.mode, image.size) == ("L", (SIZE, SIZE))
    before = [file.stat().st_mtime_ns for file in files]
    files[1].unlink()
    pipeline.make_saliency(run)
    after = [file.stat().st_mtime_ns for file in files]
    assert [old == new for old, new in zip(before, after, strict=True)] == [True, False, True, True]


def test_training_makes_the_maps_it_needs_and_learns_from_them(run, monkeypatch):
    seen = []
    read = SaliencyReader.__call__
    monkeypatch.setattr(SaliencyReader, "__call__", lambda self, record: seen.append(record.id) or read(self, record))
    pipeline.train_method(run)
    assert run.folder.is_done("make-saliency")
    assert set(seen) == {record.id for record in run.training_records}
    assert (run.folder.path / "method.safetensors").exists()


def test_other_trainings_make_none(tmp_path):
    made = begin_run(tiny_recipe(BUILT_IN), None, tmp_path / "run")
    pipeline.train_method(made)
    assert not made.folder.is_done("make-saliency")
    assert not (made.folder.path / "saliency").exists()


def test_what_was_made_is_read(run, scenes):
    record = scenes.split("train")[0]
    SaliencyMaker(run.folder, scenes, None)(record)
    read = reader(run.recipe, run.folder, scenes)
    expected = built_in_saliency(scenes.read_image(record), None)
    np.testing.assert_allclose(read(record), expected, atol=0.5 / 255 + 1e-6)
    with pytest.raises(TagmaskError, match="train/00001"):
        read(scenes.split("train")[1])


def photographs(root, with_maps):
    """Three photographs with tags, and saliency maps of some."""
    root.mkdir()
    (root / "tags.csv").write_text("image,tags,split\na.png,x,train\nb.png,x,train\nc.png,x,val\n")
    for number, name in enumerate("abc"):
        Image.new("RGB", (40, 30), (10 * number, 90, 200)).save(root / f"{name}.png")
    (root / "maps").mkdir()
    for name in with_maps:
        Image.new("L", (20, 15), 51).save(root / "maps" / f"{name}.jpg", quality=100)
    return root


def test_maps_of_a_folder_are_read(tmp_path):
    config = FolderData(saliency="maps")
    dataset = open_dataset(config, photographs(tmp_path / "data", "ab"))
    recipe = tiny_recipe(EPS).model_copy(update={"data": config})
    read = reader(recipe, RunFolder(tmp_path), dataset)
    first, _, unlearnt = dataset.records
    np.testing.assert_allclose(read(first), np.full((15, 20), 0.2), atol=0.01)
    with pytest.raises(TagmaskError, match="c has no saliency map"):
        read(unlearnt)


def test_missing_maps_are_listed_before_training(tmp_path):
    with pytest.raises(TagmaskError, match=r"without a saliency map \(2\): a, b; put the maps"):
        open_dataset(FolderData(saliency="maps"), photographs(tmp_path / "data", ""))


def test_untrained_backbones_are_not_asked():
    recipe = tiny_recipe("backbone.weights=none")
    assert initial_backbone(recipe.backbone) is None


class Seeing(TinyBackbone):
    """A backbone whose second level, the first of the coarsest stride, shows where an image is red."""

    def forward_levels(self, images):
        levels = super().forward_levels(images)
        red = torch.nn.functional.avg_pool2d((images[:, :1] > images[:, 1:2]).float(), 8, ceil_mode=True)
        shown = torch.zeros_like(levels[1])
        shown[:, 0], shown[:, 1] = red[:, 0], 1 - red[:, 0]
        return [levels[0], shown, torch.zeros_like(levels[2])]


@pytest.mark.parametrize("size", [(320, 320), (160, 160), (500, 500)])
def test_features_are_read_where_they_still_know_places(size):
    image = np.full((*size, 3), 128, np.uint8)
    rows, columns = size[0] // 4, size[1] // 4
    image[rows : 3 * rows, columns : 3 * columns] = (200, 60, 60)
    saliency = built_in_saliency(image, Seeing().eval())
    truth = image[..., 0] == 200
    assert ((saliency > 0.5) == truth).mean() > 0.97


def test_a_plain_transformer_is_read_at_the_end_of_its_third_quarter(monkeypatch):
    """All its levels are as coarse as the deepest; photographs of no whole patches have whole cells all the same."""
    given = []

    def keep(image, features, cell):
        given.extend([image, features, cell])
        return np.zeros(image.shape[:2], np.float32)

    monkeypatch.setattr(stage, "saliency_of_features", keep)
    backbone = build_backbone(TimmBackbone(model="test_vit", weights="none")).eval()
    built_in_saliency(np.random.default_rng(0).integers(0, 255, (150, 320, 3), np.uint8), backbone)
    image, features, cell = given
    assert (features.shape, cell) == ((64, 10, 20), 16)
    images = backbone.normalization.apply(image)[None]
    with torch.no_grad():
        levels = backbone.forward_levels(torch.nn.functional.pad(images, (0, 0, 0, 10)))
    assert main_levels(backbone.levels) == (0, 2, 4, 6)
    np.testing.assert_allclose(features, levels[4][0].numpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (2, 90), (17, 5)])
def test_odd_sizes(size):
    saliency = built_in_saliency(np.full((*size, 3), 9, np.uint8), tiny_backbone().eval())
    assert saliency.shape == size
    assert np.isfinite(saliency).all()


def test_files_hold_the_values_as_bytes(run, scenes):
    record = scenes.split("train")[0]
    SaliencyMaker(run.folder, scenes, tiny_backbone().eval())(record)
    made = read_image(run.folder.saliency(record.id))
    expected = built_in_saliency(scenes.read_image(record), tiny_backbone().eval())
    np.testing.assert_array_equal(made[..., 0], (expected * 255).round().astype(np.uint8))
