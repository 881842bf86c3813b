import pytest

from shared_runs import tiny_recipe
from tagmask.config.recipes import load_recipe
from tagmask.contracts import Dataset, Record
from tagmask.errors import TagmaskError
from tagmask.stages.checks import check_all_weights, check_before, check_data
from tagmask.training import trackers


class Listed(Dataset):
    """Records of one class."""

    name, classes = "listed", ("cat",)

    def __init__(self, *records):
        self.records = records

    read_image = read_mask = image_path = None


def test_a_tracker_that_is_not_installed_is_told_before_anything_begins(tmp_path, monkeypatch):
    monkeypatch.setattr(trackers, "get_available_trackers", lambda: ["wandb"])
    for name in ("training", "affinity.training", "segmenter.training"):
        with pytest.raises(TagmaskError, match="mlflow: not installed; pip install mlflow, or leave it out"):
            check_before(tiny_recipe(f"{name}.trackers=[mlflow, wandb]"), None, tmp_path / "run")
    check_before(tiny_recipe(), None, tmp_path / "run")


def test_weights_that_cannot_be_read_are_told_before_anything_begins(tmp_path):
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(b"no weights")
    block = f"segmenter.backbone={{kind: timm, model: test_resnet, weights: {weights}}}"
    with pytest.raises(TagmaskError, match=r"weights\.safetensors could not be read"):
        check_all_weights(tiny_recipe(block))


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([], "no image in the split 'train'"),
        ([Record("a", (0,), "train")], "there is 1 training image"),
        ([Record("a", (0,), "train"), Record("b", (0,), "train")], "no training image has a ground-truth mask"),
    ],
)
def test_too_little_to_learn_from_is_told(records, message):
    recipe = load_recipe("toy", ["segmenter.learn_from=masks"])
    with pytest.raises(TagmaskError, match=message):
        check_data(recipe, Listed(*records))
