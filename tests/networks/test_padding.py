from dataclasses import replace

import torch

from tagmask.contracts import Batch
from tagmask.networks.padding import boxes, boxes_of, put_back, without_padding


def test_an_image_is_cut_out_of_its_padding_and_put_back_in_its_place():
    valid = torch.zeros(2, 6, 8, dtype=torch.bool)
    valid[0, 1:4, 2:7] = True
    valid[1] = True
    images = torch.arange(2 * 3 * 6 * 8.0).reshape(2, 3, 6, 8)
    batch = Batch(("a", "b"), images, torch.zeros(2, 1), valid)
    first, second = without_padding(batch)
    assert first.shape == (1, 3, 3, 5)
    torch.testing.assert_close(second, images[1:])
    back = put_back([first, second], batch)
    torch.testing.assert_close(back, images * valid[:, None])


def test_what_is_nothing_but_padding_stays_whole():
    assert boxes(torch.zeros(1, 4, 5, dtype=torch.bool)) == ((slice(0, 4), slice(0, 5)),)


def test_boxes_that_a_loader_has_found_are_taken_as_they_are():
    batch = Batch(("a",), torch.zeros(1, 3, 4, 5), torch.zeros(1, 1), torch.ones(1, 4, 5, dtype=torch.bool))
    known = ((slice(1, 3), slice(0, 2)),)
    assert boxes_of(batch) == ((slice(0, 4), slice(0, 5)),)
    assert boxes_of(replace(batch, boxes=known)) == known
