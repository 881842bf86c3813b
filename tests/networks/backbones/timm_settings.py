"""Settings of small timm models without pretrained weights."""

from tagmask.config import TimmBackbone


def timm_backbone(model: str = "test_resnet", **fields) -> TimmBackbone:
    return TimmBackbone(model=model, **{"weights": "none", **fields})
