import torch

from tagmask.networks.memory_format import channels_last


def test_channels_lie_innermost_and_pixels_stay_where_they_are():
    images = torch.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5)
    found = channels_last(images)
    assert torch.equal(found, images)
    assert found.stride() == (60, 1, 15, 3)
    assert images.is_contiguous()


def test_images_that_lie_so_already_are_not_copied():
    images = torch.zeros(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)
    assert channels_last(images).data_ptr() == images.data_ptr()


def test_gradients_pass():
    images = torch.ones(1, 3, 2, 2, requires_grad=True)
    (channels_last(images) * torch.arange(12.0).view(1, 3, 2, 2)).sum().backward()
    assert images.grad.flatten().tolist() == list(range(12))
