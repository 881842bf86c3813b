"""A method of one's own in a package of its own: once it is installed, recipes can name the kind ``top``."""

from typing import Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from tagmask.config import MethodConfig
from tagmask.contracts import Activation, Backbone, Batch, Images, Losses, Method, ParameterGroup
from tagmask.methods import tag_loss
from tagmask.networks import grouped_parameters


class TopConfig(MethodConfig):
    """Settings of ``Top``."""

    kind: Literal["top"] = "top"
    share: float = Field(default=0.3, gt=0, le=1, description="Best pixels of a class that make its logit; 1 is all.")


class Top(Method[Activation]):
    """Logits from the best pixels of each class (Durand et al., CVPR 2017); maps are the positive scores."""

    config_type = TopConfig
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
