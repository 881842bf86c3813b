"""Every knob as frozen, typed data with a sentence per field. Imports no torch, so ``--help`` stays quick."""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator


class Config(BaseModel):
    """Base of all settings: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


# ── dense CRF ────────────────────────────────────────────────────────────────────────────────────────────────────────


class CrfConfig(Config):
    """Fully connected CRF (Krähenbühl & Koltun, NeurIPS 2011): one Gaussian and one bilateral kernel."""

    gaussian_sxy: float = Field(default=3, gt=0, description="Standard deviation in pixels of the smoothness kernel.")
    gaussian_weight: float = Field(default=3, ge=0, description="Weight of the smoothness kernel; 0 leaves it out.")
    bilateral_sxy: float = Field(default=80, gt=0, description="Standard deviation in pixels of the appearance kernel.")
    bilateral_srgb: float = Field(
        default=13, gt=0, description="Standard deviation in grey levels of the appearance kernel."
    )
    bilateral_weight: float = Field(default=10, ge=0, description="Weight of the appearance kernel; 0 leaves it out.")
    iterations: int = Field(default=10, ge=0, description="Mean-field iterations; 0 returns the normalised unaries.")
    unary: Literal["soft", "hard"] = Field(
        default="soft", description="From probabilities, or from labels and gt_prob."
    )
    gt_prob: float = Field(default=0.7, gt=0, lt=1, description="Trust in a hard label.")
    num_labels: int | None = Field(
        default=None, ge=2, description="Labels that share what `gt_prob` leaves; none: as many as the image has."
    )
    pad_to_four: bool = Field(
        default=False, description="Repeat the SSE build's zero points (parity with published labels)."
    )


CRF_PRESETS = {
    "psa": CrfConfig(),
    "irn": CrfConfig(bilateral_sxy=50, bilateral_srgb=5, unary="hard"),
    "deeplab": CrfConfig(gaussian_sxy=1, bilateral_sxy=67, bilateral_srgb=3, bilateral_weight=4),
    "seam-seg": CrfConfig(bilateral_sxy=32, iterations=1),
}


def _crf_preset(value: object) -> object:
    if not isinstance(value, str):
        return value
    if value not in CRF_PRESETS:
        raise ValueError(f"unknown CRF preset {value!r}; known: {', '.join(CRF_PRESETS)}")
    return CRF_PRESETS[value]


Crf = Annotated[CrfConfig, BeforeValidator(_crf_preset)]


# ── data ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


class DataConfig(Config):
    """What all data sets share."""

    classes: tuple[str, ...] | None = Field(
        default=None, description="Class names in order; left out: as the data set says."
    )
    train_split: str = Field(default="train", description="Split that is learned from.")
    val_split: str | None = Field(
        default="val", description="Split that predictions are scored on; none: no such split."
    )
    score_ids: str | None = Field(
        default=None,
        description="Text file, one id a line, relative to the data: training images whose masks score the seeds.",
    )
    on_bad_image: Literal["error", "skip"] = Field(
        default="error", description="Unreadable images: stop, or leave them out."
    )
    max_images: int | None = Field(default=None, gt=0, description="Use only the first so many images of each split.")
    saliency: str | None = Field(
        default=None,
        description="For methods that learn from it: a folder of saliency maps named like the images, or `built-in`.",
    )


class FolderData(DataConfig):
    """A folder of images and a table of tags."""

    kind: Literal["folder"] = "folder"
    images: str | None = Field(
        default=None, description="Image root below the data folder; none: its folder `images`, else the data folder."
    )
    tags: str | None = Field(default="tags.csv", description="CSV or JSON of tags; none: one subfolder per class.")
    image_column: str = Field(default="image", description="Column with the image's path below the image root.")
    tags_column: str = Field(
        default="tags", description="Column with the tags; absent: one-hot columns, one per class."
    )
    split_column: str = Field(default="split", description="Column with the split, if the table has one.")
    separators: str = Field(default=";,|", description="Characters that separate tags.")
    masks: str | None = Field(
        default=None, description="Folder of ground-truth masks named like the images; scoring only."
    )
    ignore_value: int = Field(default=255, ge=0, description="The number that means 'no label' in the mask files.")
    val_fraction: float = Field(
        default=0.1, ge=0, lt=1, description="Share held out for validation if there is no split."
    )


class VocData(DataConfig):
    """PASCAL VOC 2012 in the VOCdevkit layout."""

    kind: Literal["voc"] = "voc"
    train_split: str = "train_aug"
    train_list: str | None = Field(
        default=None, description="List file of the SBD train_aug ids; none: ImageSets/Segmentation/train_aug.txt."
    )
    tag_table: str | None = Field(default=None, description="CSV of tags instead of the XML annotations.")
    masks: str = Field(
        default="SegmentationClass", description="Folder of ground-truth masks; SegmentationClassAug for SBD."
    )
    ignore_value: int = 255


class CocoData(DataConfig):
    """MS-COCO 2014 or 2017; tags and masks come from the instances JSON."""

    kind: Literal["coco"] = "coco"
    year: Literal[2014, 2017] = 2014
    ignore_value: int = 255


class ToyData(DataConfig):
    """Drawn scenes: a small telling part and a larger plain body per class, on clutter. No download."""

    kind: Literal["toy"] = "toy"
    num_train: int = Field(default=240, gt=0, description="Training scenes.")
    num_val: int = Field(default=60, gt=0, description="Validation scenes.")
    size: int = Field(default=112, ge=48, description="Side of a scene in pixels.")
    num_classes: int = Field(default=4, ge=2, le=6, description="How many of the drawn classes are used.")
    seed: int = Field(default=0, ge=0, description="Scenes are a function of this seed and their index.")
    ignore_value: int = 255


AnyData = Annotated[FolderData | VocData | CocoData | ToyData, Field(discriminator="kind")]


# ── networks ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class TimmBackbone(Config):
    """Any model of the timm library."""

    kind: Literal["timm"] = "timm"
    model: str = Field(description="timm model name, such as resnet50.")
    weights: str = Field(default="pretrained", description="`pretrained`, `none`, or a local .safetensors / .pth file.")
    output_stride: Literal[8, 16, 32] = Field(
        default=16, description="Stride of the deepest grid, where the model can."
    )
    dilated: bool = Field(
        default=True, description="False: a stage whose stride is removed keeps undilated kernels, as IRN and SIPE do."
    )
    mean: tuple[float, float, float] | None = Field(default=None, description="RGB mean; none: the model's own.")
    std: tuple[float, float, float] | None = Field(default=None, description="RGB deviation; none: the model's own.")
    pad_type: str | None = Field(default=None, description="`same` for weights converted from TensorFlow.")
    frozen_stages: int = Field(default=0, ge=0, description="Stages without learning, counted from the input.")
    batch_norm: Literal["train", "fixed", "frozen"] = Field(
        default="fixed", description="Learn statistics; keep statistics, learn the affine part; keep both."
    )


class Resnet38dBackbone(Config):
    """Wide ResNet-38 (Wu et al., 2019) in the dilated form of the weak-supervision literature."""

    kind: Literal["resnet38d"] = "resnet38d"
    weights: str = Field(description="`none`, the published MXNet .params file, or a .pth / .safetensors file.")
    frozen_stages: int = Field(
        default=2, ge=0, description="Stages without learning: conv1a, b2, b3, ... (2: as published)."
    )
    batch_norm: Literal["train", "fixed", "frozen"] = "frozen"
    batch_norm_eps: float = Field(
        default=1e-5, gt=0, description="1e-5 as in the references; the weights had 1.001e-5."
    )


AnyBackbone = Annotated[TimmBackbone | Resnet38dBackbone, Field(discriminator="kind")]


class MethodConfig(Config):
    """What all methods share."""

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


class SipeConfig(MethodConfig):
    """SIPE (Chen et al., CVPR 2022): prototypes of each image, found along its structure, redraw its maps."""

    kind: Literal["sipe"] = "sipe"
    published: bool = Field(
        default=False, description="Insist on the published behaviour: settings that change it are refused."
    )
    levels: tuple[int, ...] | None = Field(
        default=None, min_length=1, description="Backbone levels of the side branches; none: the last four, or all."
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
        return self


AnyBase = Annotated[CamConfig | SeamConfig | EpsConfig | SipeConfig, Field(discriminator="kind")]


class PpcConfig(MethodConfig):
    """PPC (Du et al., CVPR 2022): pixel-to-prototype contrast while any other method trains."""

    kind: Literal["ppc"] = "ppc"
    base: AnyBase = Field(description="The method that is trained, and all that is left at inference.")
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
    view_scale: float = Field(
        default=0.5, gt=0, lt=1, description="Size of the second view, times the first's, if the base has none."
    )
    view_size: int | None = Field(default=None, gt=0, description="Side of that view in pixels instead.")
    base_losses: Literal["all_views", "first_view"] = Field(
        default="first_view", description="Where a base without second view is taught: mean over both views, or one."
    )

    @property
    def learns_from_saliency(self) -> bool:
        """As the base does."""
        return self.base.learns_from_saliency

    @property
    def learns_background(self) -> bool:
        """As the base does."""
        return self.base.learns_background


AnyMethod = Annotated[CamConfig | SeamConfig | EpsConfig | SipeConfig | PpcConfig, Field(discriminator="kind")]


# ── training ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class AugmentConfig(Config):
    """Random views of a training image; every draw is a function of (seed, epoch, image)."""

    crop: int = Field(gt=0, description="Side of the square crop in pixels.")
    long_side: tuple[int, int] | None = Field(default=None, description="Resize the long side to U{low..high}.")
    scale: tuple[float, float] | None = Field(
        default=None, description="Resize by U(low, high); after long_side if both."
    )
    flip: float = Field(default=0.5, ge=0, le=1, description="Probability of mirroring.")
    jitter: tuple[float, float, float, float] | None = Field(
        default=(0.3, 0.3, 0.3, 0.1), description="Colour jitter: brightness, contrast, saturation, hue."
    )
    padding: Literal["mean", "black"] = Field(default="mean", description="Colour around images smaller than the crop.")

    @model_validator(mode="after")
    def _ranges(self) -> "AugmentConfig":
        for name, pair in (("long_side", self.long_side), ("scale", self.scale)):
            if pair is not None and not 0 < pair[0] <= pair[1]:
                raise ValueError(f"{name} must be [low, high] with 0 < low <= high, got {list(pair)}")
        if self.jitter is not None and not (
            min(self.jitter) >= 0 and max(self.jitter[:3]) <= 1 and self.jitter[3] <= 0.5
        ):
            raise ValueError(f"jitter must be within [1, 1, 1, 0.5] and not negative, got {list(self.jitter)}")
        return self


class TrainingConfig(Config):
    """One training: optimiser, schedule, augmentation, bookkeeping."""

    epochs: float | None = Field(default=None, gt=0, description="Passes over the data; set this or steps.")
    steps: int | None = Field(default=None, gt=0, description="Optimiser steps; set this or epochs.")
    batch_size: int = Field(
        default=16, gt=0, description="Images per optimiser step, over all processes and accumulations."
    )
    accumulation: int = Field(default=1, gt=0, description="Forward passes per optimiser step.")
    optimizer: Literal["sgd", "adamw"] = "sgd"
    rate: float = Field(gt=0, description="Learning rate of pretrained weights.")
    head_factor: float = Field(default=10.0, gt=0, description="Learning rate of new layers, times `rate`.")
    bias_factor: float = Field(default=2.0, gt=0, description="Learning rate of biases, times their layer's.")
    momentum: float = Field(default=0.9, ge=0, lt=1, description="The published code trains with 5e-4 (nearly none).")
    weight_decay: float = Field(default=5e-4, ge=0, description="Of the parameters named by `decay`.")
    decay: Literal["weights", "all"] = Field(
        default="weights", description="What decays: weights, or biases and normalisation too, as IRN and SIPE train."
    )
    schedule: Literal["poly", "cosine", "constant"] = "poly"
    power: float = Field(default=0.9, gt=0, description="Exponent of the poly schedule.")
    warmup_steps: int = Field(default=0, ge=0, description="Linear warm-up.")
    clip_norm: float | None = Field(default=None, gt=0, description="Clip the gradient's norm; none: do not.")
    precision: Literal["no", "bf16"] = Field(default="no", description="Mixed precision; `no` is float32.")
    augment: AugmentConfig
    workers: int = Field(default=2, ge=0, description="Loader processes; 0 loads in the training process.")
    checkpoint_every: int = Field(default=200, gt=0, description="Steps between checkpoints.")
    log_every: int = Field(default=10, gt=0, description="Steps between lines of the log.")
    tensorboard: bool = Field(default=False, description="Also write TensorBoard events (needs tagmask[tensorboard]).")

    @model_validator(mode="after")
    def _length(self) -> "TrainingConfig":
        if (self.epochs is None) == (self.steps is None):
            given = f"epochs={self.epochs} and steps={self.steps} are given".replace("None", "null")
            raise ValueError(f"{given}; set exactly one of them, and the other to null")
        if self.batch_size % self.accumulation:
            raise ValueError(f"batch_size {self.batch_size} must be a multiple of accumulation {self.accumulation}")
        return self


# ── stages ───────────────────────────────────────────────────────────────────────────────────────────────────────────


class MapsConfig(Config):
    """Multi-scale, mirrored inference of the activation maps."""

    scales: tuple[float, ...] = Field(default=(1.0, 0.5, 1.5, 2.0), min_length=1, description="Image scales; summed.")
    flip: bool = Field(default=True, description="Add the mirrored image at every scale.")
    base_long_side: int | None = Field(
        default=None, gt=0, description="Resize the image to this long side before scaling."
    )
    size: Literal["image", "feature"] = Field(
        default="image",
        description="Grid the passes are summed and stored on: the image's, or the feature grid of scale 1.",
    )
    validation: bool = Field(
        default=False, description="Also make maps of validation images, for their predicted tags."
    )
    tag_threshold: float = Field(
        default=0.5, gt=0, lt=1, description="Probability from which a tag counts as predicted."
    )
    workers: int = Field(default=2, ge=0, description="Loader processes.")


class BackgroundConfig(Config):
    """Where the background score comes from."""

    rule: Literal["power", "threshold", "none"] = Field(
        default="power", description="(1 - largest map)^value, or the constant value, or no background at all."
    )
    value: float = Field(default=16, ge=0, description="The power, or the constant.")
    when: Literal["before_walk", "after_walk"] = Field(
        default="before_walk",
        description="Walk along with the maps, as AffinityNet publishes, or be made from the walked maps, as IRN does.",
    )
    walked_maps: Literal["each", "jointly", "unchanged"] = Field(
        default="each",
        description="Walked maps are divided by their own or by their common maximum, or stay what they are, as PPC on "
        "SEAM publishes (after_walk).",
    )


class PowerLabels(Config):
    """Confident labels where two powers of the background agree, as AffinityNet makes them."""

    kind: Literal["powers"] = "powers"
    low: float = Field(default=4, gt=0, description="Background power whose foreground is trusted.")
    high: float = Field(default=32, gt=0, description="Background power whose background is trusted.")
    crf: Crf = Field(default=CRF_PRESETS["psa"], description="Dense CRF on both sets of scores.")


class ThresholdLabels(Config):
    """Confident labels where two constant backgrounds agree, as IRN makes them."""

    kind: Literal["thresholds"] = "thresholds"
    foreground: float = Field(default=0.3, ge=0, description="Background constant whose foreground is trusted.")
    background: float = Field(default=0.05, ge=0, description="Background constant whose background is trusted.")
    crf: Crf = Field(default=CRF_PRESETS["irn"], description="Dense CRF on both masks.")


class LearntLabels(Config):
    """Confident labels where a background that the method learns and a weaker form of it agree (SIPE)."""

    kind: Literal["learnt"] = "learnt"
    strong: float = Field(default=1.0, gt=0, description="Factor of the background whose foreground is trusted.")
    weak: float = Field(default=0.5, gt=0, description="Factor of the background whose background is trusted.")
    crf: Crf = Field(default=CRF_PRESETS["irn"], description="Dense CRF on both masks.")


AnyLabels = Annotated[PowerLabels | ThresholdLabels | LearntLabels, Field(discriminator="kind")]


class AffinityConfig(Config):
    """What all affinity networks share."""

    stride: int = Field(ge=1, description="Pixels per cell of the affinity grid.")
    radius: int = Field(ge=2, description="Pairs closer than this many grid cells are compared in training.")
    backbone: AnyBackbone | None = Field(default=None, description="None: as the method's.")
    initial: Literal["imagenet", "method"] = Field(
        default="imagenet", description="Start from ImageNet or the classifier."
    )
    labels: AnyLabels = Field(description="How the labels it learns from are made of the maps.")
    training_border: Literal["full", "interior"] = Field(
        default="interior",
        description="Pairs near the border: all inside the image, or from interior sources as published.",
    )
    training: TrainingConfig


class AffinityNetConfig(AffinityConfig):
    """AffinityNet (Ahn & Kwak, CVPR 2018): pairwise affinities learned from confident map labels."""

    kind: Literal["affinitynet"] = "affinitynet"
    levels: tuple[int, int, int] | None = Field(
        default=None, description="Backbone levels the head reads; none: automatic."
    )
    widths: tuple[int, int, int] = Field(default=(64, 128, 256), description="Channels of the three side features.")
    stride: int = Field(default=8, ge=1, description="Pixels per cell of the affinity grid.")
    radius: int = Field(default=5, ge=2, description="Pairs closer than this many grid cells are compared.")
    labels: AnyLabels = Field(default=PowerLabels(), description="How the labels it learns from are made of the maps.")


class IrnConfig(AffinityConfig):
    """IRN (Ahn, Cho & Kwak, CVPR 2019): class boundaries, and displacements towards the centre of each object."""

    kind: Literal["irn"] = "irn"
    levels: tuple[int, ...] | None = Field(
        default=None,
        min_length=2,
        description="Backbone levels the heads read, finest first; none: the last five, or all.",
    )
    edge_width: int = Field(default=32, gt=0, multiple_of=4, description="Channels of each level in the edge head.")
    displacement_width: int = Field(
        default=256, gt=0, multiple_of=64, description="Channels of the coarse levels in the displacement head."
    )
    displacement_factor: float = Field(
        default=10.0, gt=0, description="Learning rate of the displacement head, times the edge head's."
    )
    stride: int = Field(default=4, ge=1, description="Pixels per cell of the affinity grid.")
    radius: int = Field(default=10, ge=2, description="Pairs closer than this many grid cells are compared.")
    walk_radius: int = Field(
        default=5, ge=2, description="The same, at inference: the neighbours of a step of the walk."
    )
    flip: bool = Field(default=True, description="Average the boundaries with those of the mirrored image.")
    damp_boundaries: bool = Field(default=True, description="Multiply what walks by (1 - boundary).")
    labels: AnyLabels = Field(
        default=ThresholdLabels(), description="How the labels it learns from are made of the maps."
    )


AnyAffinity = Annotated[AffinityNetConfig | IrnConfig, Field(discriminator="kind")]


class WalkConfig(Config):
    """Random walk of the maps along the learned affinities."""

    beta: float = Field(default=8, gt=0, description="Element-wise power of the affinities.")
    stretch: bool = Field(
        default=False,
        description="Bring each map's least value to 0 and its largest to 1 before it walks: likenesses have a floor.",
    )
    map_power: float = Field(default=1.0, gt=0, description="Power of the maps before they walk; SIPE takes 1.5.")
    resizing: Literal["mean", "bilinear"] = Field(
        default="mean",
        description="How maps come to the affinity grid: block means (AffinityNet) or sampled (IRN, SIPE).",
    )
    steps: int = Field(default=256, ge=0, description="Steps of the walk.")
    border: Literal["full", "interior"] = Field(default="full", description="As in training; `interior` as published.")
    form: Literal["exact", "chebyshev"] = Field(
        default="chebyshev", description="Step by step, or its polynomial expansion."
    )
    tolerance: float = Field(default=1e-5, gt=0, description="Error bound of the Chebyshev form.")
    base_long_side: int | None = Field(default=None, gt=0, description="Resize the image to this long side first.")


class MasksConfig(Config):
    """From scores to pseudo masks."""

    background: BackgroundConfig = BackgroundConfig()
    crf: Crf | None = Field(default=CRF_PRESETS["psa"], description="Dense CRF on the scores; none: leave it out.")
    confident: AnyLabels | None = Field(
        default=None,
        description="Masks are confident labels of the maps, `ignore` where undecided, as SIPE makes them for COCO; "
        "none: the best score wins.",
    )
    ignore_below: float = Field(default=0.0, ge=0, le=1, description="Pixels less confident than this become `ignore`.")
    ignore_value: int | None = Field(
        default=None, ge=0, description="Written for `ignore`; none: 255, or 65535 if 16-bit."
    )
    workers: int = Field(default=2, ge=1, description="Processes that run the CRF, one image each.")


class InstancesConfig(Config):
    """Instance masks from the displacements of IRN."""

    iterations: int = Field(default=300, gt=0, description="Steps along the displacements from every pixel.")
    centre_below: float = Field(
        default=2.5, gt=0, description="Displacements shorter than this, in grid cells, mark the centres of objects."
    )
    background: float = Field(
        default=0.25,
        ge=0,
        le=1,
        description="Constant background against the walked scores; a learnt background replaces it.",
    )
    smallest_share: float = Field(
        default=0.01, ge=0, lt=1, description="Instances below this share of the image score 0."
    )
    keep_small: bool = Field(default=False, description="Also write the instances that score 0.")
    workers: int = Field(default=2, ge=0, description="Loader processes.")


class SegmenterConfig(Config):
    """The segmentation network trained on the pseudo masks."""

    kind: Literal["deeplab_v1", "deeplab_v2", "deeplab_v3plus"] = "deeplab_v3plus"
    backbone: AnyBackbone | None = Field(
        default=None, description="None: the method's backbone, from its initial weights."
    )
    initial: Literal["imagenet", "method"] = Field(
        default="imagenet", description="Start from the backbone's own weights or from the trained classifier."
    )
    width: int = Field(default=256, gt=0, description="Channels of the decoder.")
    rates: tuple[int, ...] = Field(default=(6, 12, 18), min_length=1, description="Dilations of the atrous branches.")
    low_level_width: int = Field(default=48, gt=0, description="Channels of the low-level branch (v3+).")
    dropout: float = Field(default=0.1, ge=0, lt=1, description="Dropout before the classifier.")
    training: TrainingConfig
    scales: tuple[float, ...] = Field(default=(1.0,), min_length=1, description="Image scales at prediction; averaged.")
    flip: bool = Field(default=True, description="Average with the mirrored image at prediction.")
    base_long_side: int | None = Field(default=None, gt=0, description="Resize images to this long side at prediction.")
    crf: Crf | None = Field(default=None, description="Dense CRF on the predictions.")
    workers: int = Field(default=2, ge=0, description="Loader processes at prediction.")


class EvaluationConfig(Config):
    """How seeds and masks are scored, where ground truth exists."""

    threshold: float = Field(default=0.2, ge=0, le=1, description="Fixed background constant of the seed score.")
    sweep: tuple[float, float, float] = Field(
        default=(0.0, 0.6, 0.01), description="Thresholds: from, to (excluded), step."
    )


class ReportConfig(Config):
    """The report of a run."""

    num_images: int = Field(default=12, ge=0, description="Training images shown, and as many of validation.")


class Recipe(Config):
    """A complete experiment."""

    name: str
    seed: int = Field(default=0, ge=0, description="Every random draw is a function of it.")
    data: AnyData
    backbone: AnyBackbone
    method: AnyMethod
    training: TrainingConfig
    maps: MapsConfig = MapsConfig()
    affinity: AnyAffinity | None = Field(description="None leaves out the affinity network and the walk.")
    walk: WalkConfig = WalkConfig()
    masks: MasksConfig = MasksConfig()
    instances: InstancesConfig | None = Field(
        default=None, description="Instance masks (IRN only); none: leave them out."
    )
    segmenter: SegmenterConfig
    evaluation: EvaluationConfig = EvaluationConfig()
    report: ReportConfig = ReportConfig()

    @model_validator(mode="after")
    def _learnt_labels_have_a_background(self) -> "Recipe":
        labels = {"affinity.labels": self.affinity and self.affinity.labels, "masks.confident": self.masks.confident}
        for where, chosen in labels.items():
            if isinstance(chosen, LearntLabels) and not self.method.learns_background:
                raise ValueError(
                    f"{where} of kind `learnt` need a background in the maps, and this method ({self.method.kind}) "
                    "gives none; take `powers` or `thresholds`, or a method that learns one"
                )
        return self
