"""Class activation maps (Zhou et al., CVPR 2016), trained as AffinityNet does (Ahn & Kwak, CVPR 2018, section 3.1)."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from tagmask.config import CamConfig
from tagmask.contracts import Activation, Backbone, Batch, Images, Losses, Method, ParameterGroup, Tags
from tagmask.networks.parameter_groups import grouped_parameters


def tag_loss(logits: Float[Tensor, "b c"], tags: Tags) -> Float[Tensor, ""]:
    """Multi-label soft-margin loss: mean over images and classes of -[y log s(z) + (1 - y) log(1 - s(z))].

    >>> import torch
    >>> tag_loss(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]])).item()  # -log 0.5
    0.6931471824645996
    """
    return F.multilabel_soft_margin_loss(logits.float(), tags)


class Cam(Method[Activation]):
    """A classifier with global average pooling; its maps are M_c(i) = relu(w_c . f(i)).

    Averaging and the 1x1 classifier commute, so maps and logits share the same weights (eq. 1 of the paper).

    Args:
        config: settings of the method.
        backbone: where the features come from.
        num_classes: classes without background.
    """

    config_type = CamConfig
    num_views = 1

    def __init__(self, config: CamConfig, backbone: Backbone, num_classes: int) -> None:
        super().__init__()
        self.config = config
        self.backbone = backbone
        self.num_classes = num_classes
        self.dropout = nn.Dropout2d(config.dropout)
        self.fc8 = nn.Conv2d(backbone.channels, num_classes, kernel_size=1, bias=False)
        nn.init.xavier_uniform_(self.fc8.weight)

    def views(self, images: Images) -> list[Float[Tensor, "b 3 _ _"]]:
        """One view: the batch itself."""
        return [images]

    def forward(self, images: Images) -> Activation:
        """Logits ``b c`` of the pooled features and non-negative maps ``b c p q``; no learnt background."""
        features = self.backbone(images)
        pooled = self.dropout(features).mean(dim=(2, 3))
        logits = pooled @ self.fc8.weight.flatten(1).T
        maps = F.relu(self.fc8(features))
        # sqrt has an infinite slope at 0; the root belongs to inference of one published variant only.
        maps = maps.detach().sqrt() if self.config.map_root else maps
        return Activation(logits=logits, maps=maps, background=None, embedding=features)

    def view_losses(self, activations: list[Activation], batch: Batch) -> Losses:
        """The classification loss alone."""
        return {"tags": tag_loss(activations[0].logits, batch.tags)}

    def parameter_groups(self) -> list[ParameterGroup]:
        """Backbone as existing weights, the classifier as new ones."""
        return grouped_parameters(self.backbone, [self.fc8])
