import math

import pytest
import torch

from tagmask.networks.tag_head import RARE, TagHead, log_mean_exp


def test_pooling_is_the_mean_for_small_r_and_the_maximum_for_large_r():
    scores = torch.tensor([0.0, 1.0, 5.0, -2.0])[None, None, None]
    assert log_mean_exp(scores, torch.tensor([1e-4])).item() == pytest.approx(1.0, abs=1e-2)
    assert log_mean_exp(scores, torch.tensor([200.0])).item() == pytest.approx(5.0 - math.log(4) / 200)


def test_a_head_starts_from_images_that_hardly_show_anything():
    head = TagHead(8, 3, sharpness=4.0)
    assert head(torch.zeros(2, 8, 5, 6)).flatten().tolist() == pytest.approx([RARE] * 6)
    assert head.log_sharpness.exp().tolist() == pytest.approx([4.0] * 3)


def test_one_cell_is_enough_to_tell_a_tag():
    torch.manual_seed(0)
    head = TagHead(4, 1)
    grid = torch.zeros(1, 4, 20, 20)
    grid[0, :, 3, 4] = 40 * head.classify.weight[0, :, 0, 0].detach().sign()
    assert head(grid).item() > head(torch.zeros(1, 4, 20, 20)).item() + 1
