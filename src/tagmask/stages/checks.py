"""What is refused before anything begins, because it could not end or would end wrongly."""

from pathlib import Path

import torch
from torch import nn

from tagmask.affinity import build_affinity_net
from tagmask.config import AffinityConfig, FolderData, IrnConfig, Recipe, TrainingConfig
from tagmask.contracts import Backbone, Dataset
from tagmask.data.datasets.saliency_files import BUILT_IN
from tagmask.errors import TagmaskError
from tagmask.methods import build_method
from tagmask.networks.backbones import bare_backbone, check_weights
from tagmask.networks.deeplab import DeepLab
from tagmask.training.trackers import check_trackers

FEWEST_IMAGES = 2


def check_before(recipe: Recipe, data: Path | None, out: Path) -> None:
    """Look at what a recipe asks for, before its data are opened.

    Args:
        recipe: what would be run.
        data: the data folder.
        out: the run folder.

    Raises:
        TagmaskError: saliency maps that the recipe does not name, instances without IRN, a tracker that is not
            installed, or a run folder that would become part of the data.
    """
    check_saliency(recipe)
    _check_place(recipe, data, out)
    _check_instances(recipe)
    affinity = None if recipe.affinity is None else recipe.affinity.training
    trainings = [config for config in (recipe.training, affinity, recipe.segmenter.training) if config is not None]
    check_trackers([name for config in trainings for name in config.trackers])


def _check_instances(recipe: Recipe) -> None:
    """Refuse instances without what finds them."""
    if recipe.instances is None:
        return
    asks = f"recipe {recipe.name!r} asks for instances, which are found along the displacements of IRN, but"
    if not isinstance(recipe.affinity, IrnConfig):
        found = "no affinity network" if recipe.affinity is None else f"affinity.kind {recipe.affinity.kind}"
        raise TagmaskError(f"{asks} has {found}; set affinity.kind to irn, or instances to null.")
    if not recipe.affinity.displacements:
        raise TagmaskError(f"{asks} does not learn these; set affinity.displacements=true, or instances to null.")


def check_data(recipe: Recipe, dataset: Dataset) -> None:
    """Look at whether there is enough to learn from.

    Raises:
        TagmaskError: no or too few training images, no ground truth to learn from where it is asked for, or a number
            for unlabelled pixels that is a class.
    """
    training = dataset.split(recipe.data.train_split)
    if not training:
        splits = sorted({record.split for record in dataset.records})
        raise TagmaskError(
            f"no image in the split {recipe.data.train_split!r}; the data have {splits}. "
            "Set data.train_split to one of them."
        )
    if len(training) < FEWEST_IMAGES:
        raise TagmaskError(
            f"there is 1 training image ({training[0].id}), of {len(dataset.records)} in all; at least "
            f"{FEWEST_IMAGES} are needed, and dozens per class to learn anything: add images, or change the splits, "
            "data.val_fraction or data.max_images"
        )
    asked = {"segmenter.learn_from=masks": recipe.segmenter.learn_from == "masks"}
    asked["data.learn_from_masks=true"] = recipe.data.learn_from_masks
    if any(asked.values()) and not any(record.has_mask for record in training):
        setting = next(setting for setting, is_asked in asked.items() if is_asked)
        raise TagmaskError(f"{setting}, and no training image has a ground-truth mask; name their folder (data.masks)")
    _check_ignore_value(recipe.masks.ignore_value, len(dataset.classes))


def check_saliency(recipe: Recipe) -> None:
    """Refuse a method that learns from saliency if the recipe names none.

    Raises:
        TagmaskError: both choices, as they are written on the command line.
    """
    if recipe.method.learns_from_saliency and recipe.data.saliency is None:
        raise TagmaskError(
            f"method {recipe.method.innermost.kind!r} learns from saliency maps and the recipe names none; add "
            f"`--set data.saliency={BUILT_IN}` to have them computed from the images, or `--set data.saliency=FOLDER` "
            "to read your own, one per image and named like it, from that folder of the data."
        )


def _check_place(recipe: Recipe, data: Path | None, out: Path) -> None:
    """Refuse a run folder among photographs whose folders are their tags: its masks would be a class next time."""
    if not isinstance(recipe.data, FolderData) or recipe.data.tags is not None or data is None:
        return
    root = (data if recipe.data.images is None else data / recipe.data.images).resolve()
    if out.resolve().is_relative_to(root):
        raise TagmaskError(
            f"{out} lies in {root}, where each folder is a class (data.tags=null): its pictures would be one too. "
            "Choose an --out folder outside"
        )


def _check_ignore_value(value: int | None, classes: int) -> None:
    if value is not None and not classes < value < 65536:
        raise TagmaskError(
            f"masks.ignore_value is {value}, which masks of {classes} classes hold as a class or cannot hold; choose "
            f"one from {classes + 1} to 65535, or null for the usual one"
        )


def makes_saliency(recipe: Recipe) -> bool:
    """Whether the run has to compute saliency maps."""
    return recipe.method.learns_from_saliency and recipe.data.saliency == BUILT_IN


def check_networks(recipe: Recipe, num_classes: int) -> None:
    """Find out whether all networks of a recipe can be built, within a second or two: by shapes, without their numbers.

    Args:
        recipe: what would be run.
        num_classes: classes without background.

    Raises:
        TagmaskError: a model that does not exist or yields no grids, a stride or levels that it does not have, more
            frozen stages than it has, a crop smaller than a cell, or a start from the weights of another network.
    """
    try:
        with torch.device("meta"):
            _build_networks(recipe, num_classes)
    except TagmaskError:
        raise
    except Exception:  # networks of others may look at numbers while they are built
        _build_networks(recipe, num_classes)


def _build_networks(recipe: Recipe, num_classes: int) -> None:
    method = build_method(recipe.method, bare_backbone(recipe.backbone), num_classes)
    _check_crop("training", recipe.training, method.backbone)
    for name, config in (("affinity", recipe.affinity), ("segmenter", recipe.segmenter)):
        if config is None:
            continue
        backbone = method.backbone if config.backbone is None else bare_backbone(config.backbone)
        if config.initial == "method" and _shapes(backbone) != _shapes(method.backbone):
            raise TagmaskError(
                f"{name}.initial is `method`, but {name}.backbone is another network than `backbone`, whose weights do "
                f"not fit; set {name}.initial=imagenet, or {name}.backbone=null to have the same network."
            )
        if isinstance(config, AffinityConfig):
            build_affinity_net(config, backbone)
        else:
            DeepLab(config, backbone, num_classes)
        _check_crop(f"{name}.training", config.training, backbone)


def _shapes(network: nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in network.state_dict().items()}


def _check_crop(name: str, config: TrainingConfig, backbone: Backbone) -> None:
    if config.augment.crop < backbone.stride:
        raise TagmaskError(
            f"{name}.augment.crop is {config.augment.crop} pixels, less than one cell of the backbone "
            f"({backbone.stride} pixels); set it to many times as much, such as {16 * backbone.stride}."
        )


def check_all_weights(recipe: Recipe) -> None:
    """Find out whether all networks of a recipe have the weights that they start from.

    Raises:
        TagmaskError: weights that are not there, cannot be fetched, cannot be read, or do not fit.
    """
    affinity = None if recipe.affinity is None else recipe.affinity.backbone
    for config in dict.fromkeys([recipe.backbone, affinity, recipe.segmenter.backbone]):
        if config is not None:
            check_weights(config)
