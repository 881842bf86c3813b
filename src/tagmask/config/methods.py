"""Settings of methods: how a classifier learns from tags where the objects are."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from tagmask.config.base import Config
from tagmask.config.crf import Crf
from tagmask.config.kinds import Kinds


class MethodConfig(Config):
    """What all methods share."""

    kind: Any  # each class of settings narrows it to its own name

    @property
    def label(self) -> str:
        """The method in one word, a wrapper with what it is put around: ``ppc(seam)``."""
        return self.kind

    @property
    def innermost(self) -> "MethodConfig":
        """The method that makes the maps: itself, or what a wrapper is put around."""
        return self

    @property
    def learns_from_saliency(self) -> bool:
        """Whether training needs a saliency map of each image."""
        return False

    @property
    def learns_background(self) -> bool:
        """Whether maps come with a background of their own."""
        return False


class CamConfig(MethodConfig):
    """Class activation maps (Zhou et al., CVPR 2016) as AffinityNet trains them."""

    kind: Literal["cam"] = "cam"
    dropout: float = Field(default=0.5, ge=0, lt=1, description="Channel dropout before the classifier.")
    map_root: bool = Field(default=False, description="Square root of the maps, as the published VGG-16 variant does.")


class PyramidConfig(MethodConfig):
    """Maps on a fine grid of several levels, pooled by log-sum-exp (Pinheiro & Collobert, CVPR 2015): small objects."""

    kind: Literal["pyramid"] = "pyramid"
    levels: tuple[int, ...] | None = Field(
        default=None, min_length=1, description="Backbone levels that are added, finest first; none: by finest_stride."
    )
    finest_stride: int = Field(
        default=4, ge=1, description="Pixels per cell of the finest level that is used, and of the maps."
    )
    width: int = Field(default=64, gt=0, description="Channels the levels are narrowed to.")
    sharpness: float = Field(
        default=2.0,
        gt=0,
        description="What each class's r starts from: pooling is the mean near 0, the maximum at 10.",
    )
    crf: Crf | None = Field(
        default=None, description="The dense CRF of masks.crf: where an object ends is found with it; none: without."
    )
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Channel dropout before the classifier.")


class SipeConfig(MethodConfig):
    """SIPE (Chen et al., CVPR 2022): prototypes of each image, found along its structure, redraw its maps."""

    kind: Literal["sipe"] = "sipe"
    published: bool = Field(
        default=False, description="Insist on the published behaviour: settings that change it are refused."
    )
    levels: tuple[int, ...] | None = Field(
        default=None,
        min_length=1,
        description="Backbone levels of the side branches; none: four from stride 4 to the deepest, or all.",
    )
    widths: tuple[int, ...] = Field(
        default=(128, 128, 256, 256), min_length=1, description="Channels of the side branches; the last ones are used."
    )
    side_initialization: Literal["uniform", "orthogonal"] = Field(
        default="uniform",
        description="Of the side branches: torch's default, as published, or orthogonal, which keeps angles between "
        "features; matters where they hardly learn.",
    )
    side_factor: float = Field(default=1.0, gt=0, description="Learning rate of the side branches, times the heads'.")
    background_factor: Annotated[float, Field(gt=0)] | Literal["matched"] = Field(
        default=0.5,
        description="Makes the background weaker or stronger; `matched`: such that seeds leave it the area that it has "
        "in the general maps.",
    )
    background_factor_on: Literal["iou", "map"] = Field(
        default="iou", description="What the factor scales: the soft IoU (published code) or the map (paper)."
    )
    inference_seed_features: Literal["hierarchical", "semantic"] = Field(
        default="hierarchical",
        description="Features whose structure finds the seeds at inference; semantic in training.",
    )
    absent_classes_compete: bool = Field(
        default=True, description="At inference classes without tag may win a pixel, which then seeds nothing."
    )
    maps: Literal["image_specific", "general", "mean"] = Field(
        default="image_specific", description="Which maps inference yields: redrawn, the classifier's, or their mean."
    )
    consistency_weight: float = Field(default=1.0, ge=0, description="Weight of the general-specific consistency.")
    consistency_over: Literal["all", "present"] = Field(
        default="all", description="Channels the consistency is averaged over: all, or background and the image's tags."
    )
    structure_memory: int = Field(default=16, gt=0, description="MiB that a block of the structure map may take.")

    @property
    def learns_background(self) -> bool:
        """Unless the maps of inference are the classifier's."""
        return self.maps != "general"

    @model_validator(mode="after")
    def _as_published(self) -> "SipeConfig":
        free = {"kind", "published", "levels", "widths", "structure_memory", "maps"}
        changed = [name for name in type(self).model_fields if name not in free and not self._is_default(name)]
        if self.background_factor == "matched" and self.background_factor_on == "map":
            raise ValueError(
                "background_factor `matched` is found for background_factor_on `iou`; give a number for `map`"
            )
        if self.published and changed:
            raise ValueError(f"`published: true` keeps the published behaviour, but {', '.join(changed)} changes it")
        return self

    def _is_default(self, name: str) -> bool:
        return getattr(self, name) == type(self).model_fields[name].default


class EquivarianceConfig(Config):
    """SEAM's second view, pixel correlation module and losses (Wang et al., CVPR 2020)."""

    view_scale: float = Field(default=0.3, gt=0, lt=1, description="Size of the second view, times the first's.")
    view_size: int | None = Field(
        default=None, gt=0, description="Side of the second view in pixels instead, as PPC publishes (128)."
    )
    levels: tuple[int, int] | None = Field(
        default=None, description="Backbone levels pixels are compared on; none: the two before the deepest."
    )
    widths: tuple[int, int] = Field(default=(64, 128), description="Channels those levels are reduced to.")
    correlation_width: int = Field(default=192, gt=0, description="Channels of the features that are compared.")
    consistency_weight: float = Field(default=1.0, ge=0, description="Weight of the equivariance loss of the maps.")
    consistency_over: Literal["all", "present"] = Field(
        default="all", description="Classes that loss is averaged over: all, as published, or the image's tags."
    )
    cross_weight: float = Field(default=1.0, ge=0, description="Weight of the equivariant cross loss.")
    cross_fraction: float = Field(
        default=0.2, gt=0, le=1, description="Share of the largest differences that the cross loss counts."
    )
    cross_reaches: Literal["correlation", "maps"] = Field(
        default="correlation",
        description="What learns from refined maps: the correlation module (published code), or classifier and "
        "backbone too (paper).",
    )
    min_pool_weight: float = Field(default=1.0, ge=0, description="Weight of the adaptive min-pool loss.")
    min_pool_fraction: float = Field(default=0.25, gt=0, le=1, description="Share of the lowest pixels in it.")
    correlation_memory: int = Field(default=64, gt=0, description="MiB that a block of the correlation may take.")


class SeamConfig(MethodConfig):
    """SEAM (Wang et al., CVPR 2020): maps that follow the image's scale, refined by correlating pixels."""

    kind: Literal["seam"] = "seam"
    dropout: float = Field(default=0.5, ge=0, lt=1, description="Channel dropout before the classifier.")
    maps: Literal["refined", "plain"] = Field(
        default="refined", description="Which maps inference yields: refined, or the classifier's."
    )
    equivariance: EquivarianceConfig = EquivarianceConfig()


class EpsConfig(MethodConfig):
    """EPS (Lee et al., CVPR 2021): maps of the classes and of the background together explain a saliency map."""

    kind: Literal["eps"] = "eps"
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Channel dropout before the classifier.")
    overlap: float = Field(
        default=0.4, ge=0, lt=1, description="A tag's map counts as salient if more than this share of it is."
    )
    absent_share: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Share of the absent classes' probability that counts as salient (1 - lambda; 0.1 for COCO).",
    )
    saliency_weight: float = Field(default=1.0, ge=0, description="Weight of the saliency loss.")
    background: Literal["learnt", "ignored"] = Field(
        default="learnt", description="Whether inference yields the background's map too; published code ignores it."
    )
    equivariance: EquivarianceConfig | None = Field(
        default=None, description="Second view, correlation module and losses of SEAM on top, as PPC on EPS publishes."
    )
    refined_saliency: bool = Field(
        default=False, description="Saliency loss on the refined maps too, as PPC on EPS publishes; needs equivariance."
    )
    second_saliency: Literal["sampled", "resized"] = Field(
        default="sampled",
        description="Saliency of the second view: the first's, sampled at the view's cells; or resized to the view's "
        "pixels before, bilinear with corners aligned, as PPC on EPS publishes; needs equivariance.",
    )
    background_last: bool = Field(
        default=False,
        description="Repeat an oversight of PPC on EPS: the cross loss seeks a pixel's best class among all but the "
        "first, background included.",
    )

    @property
    def learns_from_saliency(self) -> bool:
        """Always."""
        return True

    @property
    def learns_background(self) -> bool:
        """Unless it is ignored."""
        return self.background == "learnt"

    @model_validator(mode="after")
    def _refined_maps_exist(self) -> "EpsConfig":
        if self.equivariance is None and (self.refined_saliency or self.background_last):
            raise ValueError("refined_saliency and background_last need `equivariance`, for example {}")
        if self.equivariance is None and self.second_saliency == "resized":
            raise ValueError("second_saliency `resized` needs `equivariance`, for example {}: there is no second view")
        return self


METHOD_GROUP = "tagmask.methods"
_PLAIN = (CamConfig, SeamConfig, EpsConfig, SipeConfig, PyramidConfig)

AnyBase = Annotated[MethodConfig, Kinds(MethodConfig, _PLAIN, METHOD_GROUP)]


class WrapperConfig(MethodConfig):
    """What methods share that are put around another method: ``+KIND`` behind a recipe's name puts them around its.

    Attributes:
        put_on: settings of a wrapper that is put around a method in this way, beside its defaults.
    """

    put_on: ClassVar[dict[str, Any]] = {}

    base: AnyBase = Field(description="The method that is trained, and all that is left at inference.")

    @property
    def label(self) -> str:
        """Both kinds: ``ppc(seam)``."""
        return f"{self.kind}({self.base.label})"

    @property
    def innermost(self) -> MethodConfig:
        """That of the base."""
        return self.base.innermost

    @property
    def learns_from_saliency(self) -> bool:
        """As the base does."""
        return self.base.learns_from_saliency

    @property
    def learns_background(self) -> bool:
        """As the base does."""
        return self.base.learns_background


class PpcConfig(WrapperConfig):
    """PPC (Du et al., CVPR 2022): pixel-to-prototype contrast while any other method trains."""

    put_on: ClassVar[dict[str, Any]] = {"warmup_share": 0.25}  # maps of the first steps are no teachers

    kind: Literal["ppc"] = "ppc"
    faithful: bool = Field(
        default=False,
        description="As the published code: constant background, prototypes of absent classes too, padding counts.",
    )
    background: float = Field(
        default=0.2, ge=0, le=1, description="The constant score of the background, where `faithful`."
    )
    width: int = Field(default=128, gt=0, description="Channels of the projected features.")
    temperature: float = Field(default=0.1, gt=0, description="Divides similarities.")
    prototype_fraction: float = Field(
        default=0.125, gt=0, le=1, description="Pixels behind a prototype, as a share of one view's grid."
    )
    cross_prototype_weight: float = Field(default=0.1, ge=0, description="Weight of the cross-prototype loss.")
    cross_cam_weight: float = Field(default=0.1, ge=0, description="Weight of the cross-CAM loss.")
    intra_view_weight: float = Field(default=0.1, ge=0, description="Weight of the intra-view loss.")
    skipped_prototypes: int = Field(default=3, ge=0, description="Most similar prototypes left out as negatives.")
    kept_prototypes: int = Field(default=10, gt=0, description="Next most similar ones that are negatives.")
    hard_fraction: float = Field(
        default=0.6, ge=0.5, le=1, description="Least similar pixels of a class, of which the hardest are left out."
    )
    warmup_steps: int = Field(default=0, ge=0, description="Steps over which the contrast grows to its weights.")
    warmup_share: float = Field(
        default=0, ge=0, le=1, description="The same as a share of the training's steps; warmup_steps go before."
    )
    view_scale: float = Field(
        default=0.5, gt=0, lt=1, description="Size of the second view, times the first's, if the base has none."
    )
    view_size: int | None = Field(default=None, gt=0, description="Side of that view in pixels instead.")
    base_losses: Literal["all_views", "first_view"] = Field(
        default="first_view", description="Where a base without second view is taught: mean over both views, or one."
    )


WRAPPERS: tuple[type[WrapperConfig], ...] = (PpcConfig,)

METHOD_KINDS = Kinds(MethodConfig, (*_PLAIN, *WRAPPERS), METHOD_GROUP)

AnyMethod = Annotated[MethodConfig, METHOD_KINDS]
