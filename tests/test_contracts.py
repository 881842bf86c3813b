"""What the base classes do themselves, for everything that plugs into them."""

import numpy as np
import pytest
import torch
from torch import Tensor

from shared_runs import TinyBackbone, tiny_backbone
from tagmask.contracts import (
    Activation,
    Batch,
    Dataset,
    Method,
    Normalization,
    Record,
)


def batch(**fields) -> Batch:
    standard = {
        "ids": ("a", "b"),
        "images": torch.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5),
        "tags": torch.tensor([[1.0, 0], [0, 1]]),
        "valid": torch.ones(2, 4, 5, dtype=torch.bool),
    }
    return Batch(**standard | fields)


# ── batches ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_tensor_of_a_batch_moves_and_the_rest_stays():
    whole = batch(masks=torch.zeros(2, 2, 2, dtype=torch.int64), saliency=torch.zeros(2, 1, 4, 5))
    moved = whole.to(torch.device("meta"))
    tensors = [value for value in vars(moved).values() if isinstance(value, Tensor)]
    assert [tensor.device.type for tensor in tensors] == ["meta"] * 5
    assert moved.ids == ("a", "b")
    assert whole.images.device.type == "cpu"


def test_what_a_batch_lacks_it_lacks_elsewhere_too():
    moved = batch().to(torch.device("meta"))
    assert moved.masks is None
    assert moved.saliency is None


# ── pixels ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_normalization_by_hand():
    image = np.zeros((2, 3, 3), np.uint8)
    image[1, 2] = [255, 51, 102]
    found = Normalization((0.5, 0.0, 0.4), (0.25, 0.5, 0.1)).apply(image)
    assert found.shape == (3, 2, 3)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found[:, 1, 2], torch.tensor([2.0, 0.4, 0.0]))
    torch.testing.assert_close(found[:, 0, 0], torch.tensor([-2.0, 0.0, -4.0]))


def test_normalization_leaves_the_photograph_as_it_was():
    image = np.full((2, 2, 3), 7, np.uint8)
    image.flags.writeable = False
    Normalization((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)).apply(image)
    assert (image == 7).all()


# ── backbones ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_backbone_passes_on_its_deepest_level():
    backbone, images = tiny_backbone(), torch.randn(1, 3, 33, 40)
    with torch.no_grad():
        assert torch.equal(backbone(images), backbone.forward_levels(images)[2])
    assert (backbone.channels, backbone.stride) == (16, 8)


# ── methods ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class Brightness(Method):
    """Looks at a batch and at twice the batch; maps are the first channel; writes down how it is called."""

    num_classes, num_views = 2, 2

    def __init__(self) -> None:
        super().__init__()
        self.backbone, self.told = TinyBackbone(), []

    def views(self, images):
        return [images, 2 * images]

    def forward(self, images):
        maps = images[:, :2]
        return Activation(maps.mean(dim=(2, 3)), maps, None, images)

    def view_losses(self, activations, batch):
        names = ("first", "second")
        return {name: found.maps.sum() for name, found in zip(names, activations, strict=True)}

    def parameter_groups(self):
        return []


class Halving(Brightness):
    """Halves its maps at the end of a pass."""

    def finish(self, activation, tags=None, valid=None):
        self.told.append((tags, valid))
        return Activation(activation.logits, activation.maps / 2, None, activation.embedding)


@pytest.mark.parametrize(("method", "factor"), [(Brightness(), 1), (Halving(), 0.5)])
def test_losses_see_the_finished_activations_of_all_views(method, factor):
    step = batch(images=torch.ones(2, 3, 4, 5))
    losses = method.losses(step)  # 2 images, 2 classes, 20 pixels
    assert {name: value.item() for name, value in losses.items()} == {"first": 80 * factor, "second": 160 * factor}


def test_training_tells_the_last_step_of_a_pass_tags_and_photograph():
    method, step = Halving(), batch()
    method.losses(step)
    assert len(method.told) == 2
    assert all(tags is step.tags and valid is step.valid for tags, valid in method.told)


def test_most_methods_need_no_last_step_and_are_used_as_they_are():
    method = Brightness()
    activation = method(batch().images)
    assert method.finish(activation, torch.ones(2, 2)) is activation
    assert method.for_inference() is method
    method.calibrate(iter([]))
    assert method.state_dict().keys() == Brightness().state_dict().keys()


# ── data sets ────────────────────────────────────────────────────────────────────────────────────────────────────────


class Listed(Dataset):
    """Records without pixels."""

    name, classes = "listed", ("cat",)
    records = (Record("c", (0,), "train"), Record("a", (), "val"), Record("b", (0,), "train"))

    def read_image(self, record):
        raise NotImplementedError

    def read_mask(self, record):
        return None

    def image_path(self, record):
        return None


def test_a_split_keeps_the_order_of_the_records():
    assert [record.id for record in Listed().split("train")] == ["c", "b"]
    assert [record.id for record in Listed().split("val")] == ["a"]
    assert Listed().split("test") == ()


def test_a_data_set_has_no_saliency_unless_it_says_so():
    assert Listed().read_saliency(Listed.records[0]) is None
