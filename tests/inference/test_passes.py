from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from shared_runs import SIZE, tiny_backbone
from tagmask.config import CamConfig
from tagmask.contracts import Activation, Normalization
from tagmask.inference.passes import (
    class_maps,
    dense_logits,
    joint_logits,
    load_pyramids,
    padded_to,
    pyramid,
    resize_image,
    sum_passes,
    summed_activations,
    unmirrored,
    unmirrored_sum,
    with_mirror,
)
from tagmask.masks.grids import scaled_size
from tagmask.methods.cam import Cam

NORMALIZATION = tiny_backbone().normalization
CLASSES = 4


def random_maps(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def resized(maps: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    return F.interpolate(maps[None], size=size, mode="bilinear", align_corners=False)[0]


@pytest.fixture(scope="module")
def cam():
    return Cam(CamConfig(), tiny_backbone(), CLASSES).eval()


# ── images ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@given(st.integers(1, 30), st.integers(1, 30), st.sampled_from([0.25, 0.5, 1.0, 1.5]))
def test_photographs_are_resized_to_the_scaled_size(rows, columns, factor):
    image = np.full((rows, columns, 3), (10, 20, 30), np.uint8)
    result = resize_image(image, factor)
    assert result.shape == (*scaled_size((rows, columns), factor), 3)
    assert (result == image[0, 0]).all()


def test_scale_one_is_the_photograph_itself(scenes):
    image = scenes.read_image(scenes.records[0])
    assert resize_image(image, 1.0) is image
    (level,) = pyramid(image, [1.0], Normalization((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)))
    np.testing.assert_allclose(level.permute(1, 2, 0) * 255, image, atol=1e-4)


def test_mirrored_passes_are_turned_back():
    image = random_maps(3, 4, 6)
    assert torch.equal(with_mirror(image, False), image[None])
    assert torch.equal(with_mirror(image, True)[1, :, :, 0], image[:, :, -1])
    torch.testing.assert_close(unmirrored_sum(with_mirror(image, True)), 2 * image)
    assert torch.equal(unmirrored_sum(with_mirror(image, False)), image)


@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 16))
def test_padding_completes_the_last_cells_with_the_mean_colour(rows, columns, stride):
    image = torch.ones(3, rows, columns)
    padded = padded_to(image, stride)
    assert padded.shape[1] % stride == padded.shape[2] % stride == 0
    assert padded.shape[1] - rows < stride
    assert padded.shape[2] - columns < stride
    assert torch.equal(padded[:, :rows, :columns], image)
    assert padded.sum() == image.sum()


def test_pyramids_come_in_order_whoever_reads_them(scenes):
    records = scenes.split("train")
    runs = [list(load_pyramids(scenes, records, [1.0, 0.5], 24, NORMALIZATION, workers)) for workers in (0, 2)]
    for alone, ahead, record in zip(*runs, records, strict=True):
        assert alone[0] == ahead[0] == record
        np.testing.assert_array_equal(ahead[1], scenes.read_image(record))
        assert [level.shape for level in alone[2]] == [(3, 24, 24), (3, 12, 12)]
        assert all(torch.equal(a, b) for a, b in zip(alone[2], ahead[2], strict=True))


def test_no_records_give_no_pyramids(scenes):
    assert list(load_pyramids(scenes, [], [1.0], None, NORMALIZATION, 2)) == []


# ── sums ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9), st.booleans()), min_size=1, max_size=5),
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    st.integers(0, 3),
)
def test_passes_are_turned_back_resized_and_summed(passes, size, channels):
    maps = [random_maps(channels, p, q, seed=i) for i, (p, q, _) in enumerate(passes)]
    mirrored = [is_mirrored for _, _, is_mirrored in passes]
    expected = torch.zeros(channels, *size)
    for values, is_mirrored in zip(maps, mirrored, strict=True):
        if channels:
            expected += resized(values.flip(-1) if is_mirrored else values, size)
    torch.testing.assert_close(sum_passes(maps, mirrored, size), expected)


def activation(maps: torch.Tensor, background: torch.Tensor | None = None) -> Activation:
    return Activation(torch.zeros(1, len(maps)), maps[None], background, torch.zeros(1, 2, *maps.shape[1:]))


def test_maps_of_the_present_classes_are_summed_over_scales():
    large, small = random_maps(CLASSES, 8, 8, seed=1), random_maps(CLASSES, 4, 4, seed=2)
    present = torch.tensor([3, 1])
    found = class_maps([activation(large), activation(small)], present, (16, 12))
    torch.testing.assert_close(found, resized(large[present], (16, 12)) + resized(small[present], (16, 12)))


def test_maps_may_come_to_the_image_through_the_pixels_of_each_scale():
    # Two cells 0 and 8: corners aligned on 5 pixels they are 0 2 4 6 8, of which pixels 0.75 and 3.25 are looked at.
    row = torch.tensor([[[0.0, 8.0]]])
    found = class_maps([activation(row)], torch.tensor([0]), (1, 2), [torch.zeros(3, 1, 5)])
    torch.testing.assert_close(found, torch.tensor([[[1.5, 6.5]]]))
    at_once = class_maps([activation(row)], torch.tensor([0]), (1, 2))
    torch.testing.assert_close(at_once, row)


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(0, 7)), min_size=1, max_size=3))
def test_both_resizings_of_published_inference_are_done_one_after_the_other(passes):
    maps = [random_maps(CLASSES, p, q, seed=i) for i, (p, q, _) in enumerate(passes)]
    images = [torch.zeros(3, 8 * p - beyond, 8 * q - beyond) for p, q, beyond in passes]
    expected = torch.zeros(2, 11, 9)
    for values, image in zip(maps, images, strict=True):
        enlarged = F.interpolate(values[None], image.shape[1:], mode="bilinear", align_corners=True)
        expected += F.interpolate(enlarged, (11, 9), mode="bilinear", align_corners=False)[0, [2, 0]]
    found = class_maps([activation(values) for values in maps], torch.tensor([2, 0]), (11, 9), images)
    torch.testing.assert_close(found, expected)


def test_a_learnt_background_comes_first():
    maps, background = random_maps(CLASSES, 4, 4), random_maps(1, 1, 4, 4, seed=5)
    found = class_maps([activation(maps, background)], torch.tensor([2]), (4, 4))
    assert torch.equal(found, torch.stack([background[0, 0], maps[2]]))


def test_an_image_without_tags_has_no_maps():
    none = torch.tensor([], dtype=torch.long)
    maps = random_maps(CLASSES, 4, 4)
    assert class_maps([activation(maps)], none, (8, 8)).shape == (0, 8, 8)
    assert class_maps([activation(maps)], none, (8, 8), [torch.zeros(3, 30, 30)]).shape == (0, 8, 8)
    assert class_maps([activation(maps, torch.ones(1, 1, 4, 4))], none, (8, 8)).shape == (1, 8, 8)


# ── passes through networks ──────────────────────────────────────────────────────────────────────────────────────────


def test_mirrored_activations_are_added_and_logits_averaged(cam):
    image = random_maps(3, 17, 30)
    (both,), logits = summed_activations(cam, [image], flip=True)
    with torch.no_grad():
        plain, mirrored = cam(image[None]), cam(image.flip(-1)[None])
    torch.testing.assert_close(both.maps, plain.maps + mirrored.maps.flip(-1))
    torch.testing.assert_close(logits, (plain.logits + mirrored.logits)[0] / 2)


def test_logits_are_averaged_over_scales(cam):
    images = [random_maps(3, 16, 16), random_maps(3, 24, 24, seed=1)]
    activations, logits = summed_activations(cam, images, flip=False)
    assert [a.maps.shape[2:] for a in activations] == [(2, 2), (3, 3)]
    with torch.no_grad():
        torch.testing.assert_close(logits, sum(cam(image[None]).logits[0] for image in images) / 2)


def test_a_mirrored_image_has_mirrored_maps(cam):
    image = random_maps(3, 16, 16)
    one, other = (summed_activations(cam, [view], flip=True)[0][0].maps for view in (image, image.flip(-1)))
    torch.testing.assert_close(one.flip(-1), other)


def test_dense_logits_are_the_mean_over_scales_and_mirror_images():
    def network(images):
        return images[:, :2, ::4, ::4]

    images = [random_maps(3, 16, 16), random_maps(3, 32, 32, seed=1)]
    found = dense_logits(network, images, (16, 16), True, torch.device("cpu"))
    passes = [resized(unmirrored_sum(network(with_mirror(image, True))), (16, 16)) for image in images]
    torch.testing.assert_close(found, sum(passes) / 4)


def test_dense_logits_of_a_constant_network_are_that_constant():
    def network(images):
        return torch.full((len(images), 3, 5, 5), 2.5)

    for flip in (True, False):
        found = dense_logits(network, [random_maps(3, 9, 9)] * 3, (9, 9), flip, torch.device("cpu"))
        torch.testing.assert_close(found, torch.full((3, 9, 9), 2.5))


@pytest.mark.parametrize("flip", [True, False])
def test_joint_logits_are_those_of_each(flip):
    def network(images):
        return images[:, :2, ::4, ::4]

    images = [[random_maps(3, 16, 16, seed=n), random_maps(3, 32, 32, seed=9 + n)] for n in range(3)]
    found = joint_logits(network, images, (16, 16), flip, torch.device("cpu"))
    expected = [dense_logits(network, each, (16, 16), flip, torch.device("cpu")) for each in images]
    torch.testing.assert_close(found, expected)


def is_near(found: Tensor, exact: Tensor) -> bool:
    """Whether numbers were computed in bfloat16, which has eight bits, and given in single precision."""
    share = float((found - exact).norm() / exact.norm())
    return found.dtype == torch.float32 and 0 < share < 0.03


def test_activations_of_half_precision_are_near_and_come_in_single(cam):
    images = [random_maps(3, SIZE, SIZE), random_maps(3, 2 * SIZE, SIZE, seed=1)]
    exact, expected = summed_activations(cam, images, flip=True)
    found, logits = summed_activations(cam, images, flip=True, precision="bf16")
    assert is_near(logits, expected)
    assert all(is_near(half.maps, whole.maps) for half, whole in zip(found, exact, strict=True))
    assert all(half.embedding.dtype == torch.float32 for half in found)


def test_dense_logits_of_half_precision_are_near_and_summed_in_single():
    torch.manual_seed(0)
    network, device = torch.nn.Conv2d(3, 5, 3, stride=2), torch.device("cpu")
    images = [[random_maps(3, 16, 16, seed=n), random_maps(3, 32, 32, seed=9 + n)] for n in range(2)]
    exact = [dense_logits(network, each, (16, 16), True, device) for each in images]
    assert is_near(dense_logits(network, images[0], (16, 16), True, device, "bf16"), exact[0])
    together = joint_logits(network, images, (16, 16), True, device, "bf16")
    assert all(is_near(half, whole) for half, whole in zip(together, exact, strict=True))


def test_inference_leaves_no_gradients_behind(cam):
    image = random_maps(3, SIZE, SIZE)
    (found,), logits = summed_activations(cam, [image], flip=True)
    assert not found.maps.requires_grad
    assert not logits.requires_grad


# ── mirror images ────────────────────────────────────────────────────────────────────────────────────────────────────


def mirrored_pair(**fields) -> Activation:
    """Of an image and its mirror image: three cells in a row, one class."""
    standard = {
        "logits": torch.tensor([[1.0], [4.0]]),
        "maps": torch.tensor([[[[1.0, 2, 3]]], [[[10.0, 20, 30]]]]),
        "background": None,
        "embedding": torch.tensor([[[[0.0, 0, 1]]], [[[5.0, 0, 0]]]]),
    }
    return Activation(**standard | fields)


def test_grids_of_the_mirror_image_are_turned_back_and_added_and_logits_averaged():
    both = unmirrored(mirrored_pair())
    assert both.logits.tolist() == [[2.5]]
    assert both.maps.tolist() == [[[[31, 22, 13]]]]
    assert both.embedding.tolist() == [[[[0, 0, 6]]]]
    assert both.background is None
    assert both.refined is None


def test_a_learnt_background_and_refined_maps_are_turned_back_too():
    background = torch.tensor([[[[1.0, 0, 0]]], [[[0.0, 0, 1]]]])
    refined = torch.stack([torch.tensor([[[1.0, 2, 3]], [[4, 5, 6]]]), torch.zeros(2, 1, 3)])
    both = unmirrored(mirrored_pair(background=background, refined=refined))
    assert both.background.tolist() == [[[[2, 0, 0]]]]
    assert torch.equal(both.refined, refined[:1])


def test_what_a_method_adds_to_its_activations_is_turned_back_as_well():
    @dataclass(frozen=True)
    class More(Activation):
        scores: Tensor

    pair = mirrored_pair()
    both = unmirrored(More(pair.logits, pair.maps, None, pair.embedding, pair.maps - 1))
    assert type(both) is More
    assert both.scores.tolist() == [[[[29, 20, 11]]]]
