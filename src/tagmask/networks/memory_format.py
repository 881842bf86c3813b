"""How pixels lie in memory."""

import torch

from tagmask.contracts import Images


def channels_last(images: Images) -> Images:
    """The same pixels with channels innermost in memory: convolutions run up to four times as fast on CPUs."""
    return images.contiguous(memory_format=torch.channels_last)
