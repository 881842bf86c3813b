"""Settings of timm models without pretrained weights: small ones, and one of each family that recipes are tried on."""

from tagmask.config import TimmBackbone


def timm_backbone(model: str = "test_resnet", **fields) -> TimmBackbone:
    return TimmBackbone(model=model, **{"weights": "none", **fields})


FAMILIES = {
    "resnet": "resnet50",
    "convnext": "convnext_tiny",
    "efficientnet": "efficientnet_b0",
    "vit": "vit_small_patch16_224",
    "dinov2": "vit_small_patch14_dinov2",
    "registers": "vit_small_patch14_reg4_dinov2",
}
"""A model of each family."""

CONVOLUTIONAL = ("resnet", "convnext", "efficientnet")
