"""What becomes of a recipe when ``--set`` exchanges the model of a backbone: what was said of the old one is left out.

Levels are counted in one backbone, a file of weights fits one, and not every model can have the stride of another. So
``backbone.model=convnext_tiny`` alone is enough for any recipe: levels are found anew, a file gives way to the model's
own weights, and a model that cannot have the recipe's stride keeps its own. What is set along with the model stays.
"""

from collections.abc import Sequence
from typing import Any

_NOT_FILES = ("pretrained", "none")
_OF_OLD_WEIGHTS = ("mean", "std", "pad_type", "batch_norm_eps")
_STRIDE_OF_RESNET38D = 8
_OWNERS = ("affinity", "segmenter")  # blocks that may have a backbone of their own


def with_exchanged_models(before: dict[str, Any], after: dict[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    """The content of a recipe without what was said of backbones that it no longer has.

    Args:
        before: the content before any setting.
        after: the content with settings applied.
        keys: of these settings; what they say is kept.

    Example:
        >>> recipe = {"backbone": {"kind": "timm", "model": "resnet50"}, "affinity": {"levels": [2, 3, 4]}}
        >>> changed = {"backbone": {"kind": "timm", "model": "vgg16"}, "affinity": {"levels": [2, 3, 4]}}
        >>> with_exchanged_models(recipe, changed, ["backbone.model"])
        {'backbone': {'kind': 'timm', 'model': 'vgg16', 'own_stride': True}, 'affinity': {}}
    """
    main = _exchanged(before.get("backbone"), after.get("backbone"), "backbone", keys)
    content = after | ({"backbone": main} if "backbone" in after else {})
    for owner in _OWNERS:
        old, new = before.get(owner), after.get(owner)
        if isinstance(new, dict) and new.get("backbone") is not None:
            own = (old.get("backbone") if isinstance(old, dict) else None) or main
            block = _exchanged(own, new["backbone"], f"{owner}.backbone", keys)
            content[owner] = new | {"backbone": block}
    if _name(main) != _name(before.get("backbone")):
        content["method"] = _without_levels(after.get("method"), "method", keys)
    if _name(_backbone_of(content, "affinity")) != _name(_backbone_of(before, "affinity")):
        content["affinity"] = _without_levels(content.get("affinity"), "affinity", keys)
    return {key: value for key, value in content.items() if key in after}


def _exchanged(old: Any, new: Any, path: str, keys: Sequence[str]) -> Any:
    """A backbone's block with another model; as it is if the model is the same, or neither can be told."""
    if not isinstance(old, dict) or not isinstance(new, dict) or "model" not in new or _name(old) == _name(new):
        return new
    if path in keys:  # given whole
        return new
    stated = {name for name in new if f"{path}.{name}" in keys}
    kept = {name: value for name, value in (old | new).items() if name in stated or name not in _OF_OLD_WEIGHTS}
    if "kind" not in stated:
        kept["kind"] = "timm"
    if old.get("kind") == "resnet38d" and kept["kind"] == "timm":
        kept.setdefault("output_stride", _STRIDE_OF_RESNET38D)
    if "weights" not in stated and "weights" in kept and kept["weights"] not in _NOT_FILES:
        kept["weights"] = "pretrained"
    if not stated & {"output_stride", "own_stride"}:
        kept["own_stride"] = True
    return kept


def _name(backbone: Any) -> tuple[str, str] | None:
    """Kind and model; what follows a dot in timm's names are its weights, not its layers."""
    if not isinstance(backbone, dict):
        return None
    return str(backbone.get("kind")), str(backbone.get("model")).split(".", maxsplit=1)[0]


def _backbone_of(content: dict[str, Any], owner: str) -> Any:
    block = content.get(owner)
    return (block.get("backbone") if isinstance(block, dict) else None) or content.get("backbone")


def _without_levels(block: Any, path: str, keys: Sequence[str]) -> Any:
    """A block, and those inside, without the levels that no setting has named."""
    if not isinstance(block, dict):
        return block
    return {
        name: _without_levels(value, f"{path}.{name}", keys)
        for name, value in block.items()
        if name != "levels" or _is_stated(f"{path}.{name}", keys)
    }


def _is_stated(path: str, keys: Sequence[str]) -> bool:
    """Whether a setting names it or a block around it."""
    return any(path == key or path.startswith(f"{key}.") for key in keys)
