"""Samples of noise, to train on."""

import torch

from tagmask.training.samples import Sample, Samples

CLASSES = 3


class Noise(Samples):
    """Eight images of noise with tags, drawn anew in every epoch."""

    def __len__(self):
        return 8

    def groups(self):
        return [[0, 1, 2, 3, 4, 5, 6], [7]]

    def sample(self, seed, epoch, index):
        random = torch.Generator().manual_seed(10_000 * seed + 100 * epoch + index)
        image, tags = torch.randn(3, 16, 16, generator=random), torch.rand(CLASSES, generator=random).round()
        return Sample(f"{index}", image, tags, torch.ones(16, 16, dtype=torch.bool))
