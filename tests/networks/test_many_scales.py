import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from tagmask.conventions import IGNORE
from tagmask.networks.many_scales import labels_at, maximum, scaled, scaled_side


@pytest.mark.parametrize(
    ("side", "scale", "expected"), [(321, 0.75, 240), (321, 0.5, 160), (7, 0.7, 4), (9, 1.5, 13), (1, 0.5, 1)]
)
def test_sides_are_rounded_down_to_no_less_than_a_pixel(side, scale, expected):
    assert scaled_side(side, scale) == expected


def test_images_are_scaled_bilinearly_between_their_corners():
    image = torch.tensor([[[[0.0, 1.0, 2.0, 3.0]]]]).expand(1, 3, 2, 4)
    assert scaled(image, 0.5)[0, 0].tolist() == [[0.5, 2.5]]  # each in the middle of two columns, and of both rows
    assert scaled(image, 1.0) is image


def test_the_maximum_is_taken_on_the_grid_of_the_first():
    first = torch.tensor([[[[1.0, 5.0], [3.0, 0.0]]]])
    assert maximum([first, torch.tensor([[[[4.0]]]])]).tolist() == [[[[4.0, 5.0], [4.0, 4.0]]]]
    assert maximum([first, torch.full((1, 1, 3, 3), 9.0), torch.tensor([[[[4.0]]]])]).unique().tolist() == [9.0]


@pytest.mark.parametrize("size", [(41, 41), (30, 30), (20, 20), (13, 40), (1, 1), (321, 321)])
def test_labels_are_those_that_pillow_finds_nearest(size):
    masks = np.random.default_rng(0).integers(IGNORE, 21, (2, 321, 321)).astype(np.int32)
    expected = [np.asarray(Image.fromarray(mask).resize(size[::-1], Image.Resampling.NEAREST)) for mask in masks]
    assert torch.equal(labels_at(torch.from_numpy(masks), size), torch.from_numpy(np.stack(expected)).long())


def test_labels_lie_where_the_pixels_of_logits_have_their_centres():
    masks = torch.arange(8).expand(1, 8, 8)
    centres = F.interpolate(masks[None].float(), (4, 4), mode="bilinear", align_corners=False)[0]
    assert (labels_at(masks, (4, 4)) - centres).abs().max().item() == 0.5  # one of the two pixels beside the centre
