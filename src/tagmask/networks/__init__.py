"""Networks that others are built of: backbones, the segmentation network, their parameters, their files.

Settings enter, modules leave: a backbone turns images into feature grids, DeepLab turns them into scores per pixel.
"""

from tagmask.networks.parameter_groups import grouped_parameters

__all__ = ["grouped_parameters"]
