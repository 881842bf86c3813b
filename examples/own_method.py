"""A method of one's own, outside the package: ``python examples/own_method.py runs/own`` runs it on drawn scenes."""

import sys
from pathlib import Path
from typing import Any, Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from tagmask.config import MethodConfig, PpcConfig, Recipe
from tagmask.config.recipes import load_recipe
from tagmask.contracts import Activation, Backbone, Batch, Images, Losses, Method, ParameterGroup
from tagmask.methods import METHODS
from tagmask.methods.cam import tag_loss
from tagmask.networks.parameter_groups import grouped_parameters
from tagmask.scoring.evaluation import evaluate
from tagmask.stages.pipeline import run_all
from tagmask.stages.run import open_run


class TopConfig(MethodConfig):
    """Settings of ``Top``."""

    kind: Literal["top"] = "top"
    share: float = Field(default=0.3, gt=0, le=1, description="Best pixels of a class that make its logit; 1 is all.")


class Top(Method):
    """Logits from the best pixels of each class (Durand et al., CVPR 2017); maps are the positive scores."""

    num_views = 1

    def __init__(self, config: TopConfig, backbone: Backbone, num_classes: int) -> None:
        super().__init__()
        self.config, self.backbone, self.num_classes = config, backbone, num_classes
        self.classify = nn.Conv2d(backbone.channels, num_classes, kernel_size=1, bias=False)

    def views(self, images: Images) -> list[Float[Tensor, "b 3 _ _"]]:
        """One view: the batch itself."""
        return [images]

    def forward(self, images: Images) -> Activation:
        """Scores at each pixel, their best ones averaged, and the features they are read from."""
        features = self.backbone(images)
        scores = self.classify(features)
        count = max(1, int(self.config.share * scores[0, 0].numel()))
        best = scores.flatten(2).topk(count, dim=2).values
        return Activation(logits=best.mean(dim=2), maps=F.relu(scores), background=None, embedding=features)

    def view_losses(self, activations: list[Activation], batch: Batch) -> Losses:
        """The classification loss."""
        return {"tags": tag_loss(activations[0].logits, batch.tags)}

    def parameter_groups(self) -> list[ParameterGroup]:
        """Backbone as existing weights, the classifier as new ones."""
        return grouped_parameters(self.backbone, [self.classify])


METHODS[TopConfig] = Top


class TopPpcConfig(PpcConfig):
    """PPC around it."""

    base: TopConfig = TopConfig()


class TopRecipe(Recipe):
    """Any recipe with one of the two."""

    method: TopConfig | TopPpcConfig = Field(discriminator="kind")


def run(out: Path, method: dict[str, Any], *settings: str) -> dict[str, Any]:
    """All stages on drawn scenes, with the method in the place of the recipe's; returns the scores."""
    recipe = load_recipe("toy", settings).model_dump() | {"name": "toy-top", "method": method}
    opened = open_run(TopRecipe.model_validate(recipe), None, out)
    run_all(opened)
    return evaluate(opened)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python examples/own_method.py OUT [SETTING=VALUE ...]")
    for name, method in {"top": {"kind": "top"}, "top-ppc": {"kind": "ppc"}}.items():
        scores = run(Path(sys.argv[1]) / name, method, *sys.argv[2:])
        print(name, *(f"{key} {100 * scores[key]['mean_iou']:.1f} %" for key in ("seed_best", "mask", "prediction")))
