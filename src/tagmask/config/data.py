"""Settings of data sets: where images, tags and masks lie."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, StringConstraints, model_validator

from tagmask.config.base import Config, Role

Colour = Annotated[str, StringConstraints(pattern=r"^#[0-9a-fA-F]{6}$", to_lower=True)]
Numbers = tuple[float, float]


class DataConfig(Config):
    """What all data sets share."""

    classes: tuple[str, ...] | None = Field(
        default=None, description="Class names in order; left out: as the data set says."
    )
    train_split: str = Field(default="train", description="Split that is learned from.")
    val_split: str | None = Field(
        default="val", description="Split that predictions are scored on; none: no such split."
    )
    score_ids: Annotated[str | None, Role.SCORING] = Field(
        default=None,
        description="Text file, one id a line, relative to the data: training images whose masks score the seeds.",
    )
    on_bad_image: Literal["error", "skip"] = Field(
        default="error", description="Unreadable images: stop, or leave them out."
    )
    max_images: int | None = Field(default=None, gt=0, description="Use only the first so many images of each split.")
    learn_from_masks: bool = Field(
        default=False,
        description="Learn from the masks that the data bring for training images as from corrected ones; they score "
        "nothing then.",
    )
    largest_side: int | None = Field(
        default=None,
        ge=16,
        description="Larger images are scaled down to this long side when they are read; none: not.",
    )
    bands: tuple[NonNegativeInt, NonNegativeInt, NonNegativeInt] | None = Field(
        default=None,
        description="Which bands of image files are red, green and blue, counted from 0; none: as the files say.",
    )
    stretch: tuple[float, float] | None = Field(
        default=None,
        description="Bands of more than 8 bits: percentiles of each image's band that become black and white, such as "
        "`[2, 98]`; none: integers are taken as 0 to 65535, floats as 0 to 1 or as 0 to 255.",
    )
    stretch_values: tuple[Numbers, Numbers, Numbers] | Numbers | None = Field(
        default=None,
        description="Bands of more than 8 bits: the numbers that become black and white in all images, such as "
        "`[0, 3000]`, or a pair for each of red, green and blue; none: not fixed.",
    )
    saliency: str | None = Field(
        default=None,
        description="For methods that learn from it: a folder of saliency maps named like the images, or `built-in`.",
    )

    @model_validator(mode="after")
    def _can_be_stretched(self) -> "DataConfig":
        if self.stretch is not None and not 0 <= self.stretch[0] < self.stretch[1] <= 100:
            raise ValueError(f"stretch must be two percentiles that rise, from 0 to 100, got {list(self.stretch)}")
        if self.stretch is not None and self.stretch_values is not None:
            raise ValueError("stretch and stretch_values exclude each other: choose percentiles or fixed numbers")
        for low, high in value_pairs(self.stretch_values):
            if low >= high:
                raise ValueError(f"stretch_values must rise from black to white, got {[low, high]}")
        return self


def value_pairs(values: tuple[Numbers, Numbers, Numbers] | Numbers | None) -> tuple[Numbers, ...]:
    """The pairs of ``stretch_values``: one for all bands, or three; none if nothing is fixed.

    >>> value_pairs((0, 3000)), value_pairs(None)
    (((0, 3000),), ())
    """
    if values is None:
        return ()
    pairs = tuple(pair for pair in values if isinstance(pair, tuple))
    low, *_, high = values
    return pairs or ((low, high),)  # pyright: ignore[reportReturnType] — numbers where there are no pairs


class MaskFilesConfig(DataConfig):
    """What data sets share whose ground truth lies in mask files."""

    ignore_value: Annotated[int, Role.SCORING] = Field(
        default=255, ge=0, description="The number that means 'no label' in the mask files."
    )
    mask_values: Annotated[dict[int, int], Role.SCORING] = Field(
        default={}, description="Numbers in mask files and the numbers they mean, such as `{255: 1}`."
    )
    mask_colours: Annotated[dict[Colour, str], Role.SCORING] = Field(
        default={},
        description='Masks in colours: what each means, such as `{"#ff0000": cat}`; a class, `background` or `ignore`.',
    )


class TagNamesConfig(MaskFilesConfig):
    """What data sets share whose tags are names that people have written."""

    largest_side: int | None = Field(
        default=1024,
        ge=16,
        description="Larger photographs are scaled down to this long side when they are read; none: not.",
    )
    separators: str = Field(default=";,|", description="Characters that separate tags.")
    join_case: bool = Field(
        default=False, description="Take tags that differ only in case, or in blanks, as one class."
    )
    not_classes: tuple[str, ...] = Field(
        default=(), description="Tags to leave out, in any case, such as `background`."
    )
    val_fraction: float = Field(
        default=0.1, ge=0, lt=1, description="Share held out for validation if there is no split."
    )


class FolderData(TagNamesConfig):
    """A folder of images and a table of tags."""

    kind: Literal["folder"] = "folder"
    images: str | None = Field(
        default=None, description="Image root below the data folder; none: its folder `images`, else the data folder."
    )
    tags: str | None = Field(default="tags.csv", description="CSV or JSON of tags; none: one subfolder per class.")
    layout: Literal["auto", "cell", "one-hot", "long"] = Field(
        default="auto",
        description="Table: all tags in one cell, a 0/1 column per class, or a row per image and tag.",
    )
    image_column: str = Field(
        default="image", description="Column with the image's path; `image` absent: a column of a usual name."
    )
    tags_column: str | None = Field(
        default="tags", description="Column with the tags; absent or none: one-hot columns, one per class."
    )
    confidence_column: str | None = Field(
        default="confidence",
        description="In long tables, column of 1 (present) and 0 (absent); none: every row's tag is present.",
    )
    uncertain: Literal["error", "negative", "positive"] = Field(
        default="error",
        description="Tags that are neither present nor absent (-1 or a fraction): stop, or take them as.",
    )
    split_column: str = Field(default="split", description="Column with the split, if the table has one.")
    masks: Annotated[str | None, Role.SCORING] = Field(
        default=None,
        description="Folder of ground-truth masks named like the images; for scoring, unless learned from.",
    )
    exif: Literal["upright", "as_stored"] = Field(
        default="upright", description="Photographs that EXIF turns: turn them, or take them as they are stored."
    )


class TarData(TagNamesConfig):
    """Tar files of photographs with their tags beside them, as WebDataset writes them."""

    kind: Literal["tar"] = "tar"
    shards: str = Field(default="*.tar", min_length=1, description="Which files below the data folder are read.")
    tags: str = Field(
        default="json", min_length=1, description="Ending of the file with an image's tags: JSON, or text."
    )
    tags_key: str = Field(default="tags", description="In JSON, the key of the tags.")
    split_key: str = Field(
        default="split", description="In JSON, the key of the split; absent: the beginning of the shard's name."
    )
    masks: Annotated[str | None, Role.SCORING] = Field(
        default=None,
        description="Ending of ground-truth masks, such as `mask.png`; for scoring, unless learned from.",
    )


class VocData(MaskFilesConfig):
    """PASCAL VOC 2012, or own classes in the layout of VOCdevkit."""

    kind: Literal["voc"] = "voc"
    train_split: str = Field(default="train_aug", description="Split that is learned from.")
    train_list: str | None = Field(
        default=None, description="List file of the SBD train_aug ids; none: ImageSets/Segmentation/train_aug.txt."
    )
    tag_table: str | None = Field(default=None, description="CSV of tags instead of the XML annotations.")
    difficult: Literal["tag", "leave_out"] = Field(
        default="tag", description="Whether objects marked difficult in the XML annotations count as tags."
    )
    masks: Annotated[str, Role.SCORING] = Field(
        default="SegmentationClass", description="Folder of ground-truth masks; SegmentationClassAug for SBD."
    )
    val_fraction: float = Field(
        default=0.1, ge=0, lt=1, description="Share held out for validation if there is no list of the split."
    )


class CocoData(DataConfig):
    """MS-COCO 2014 or 2017, or own data in its format; tags and masks come from the annotation files."""

    kind: Literal["coco"] = "coco"
    year: Literal[2014, 2017] = Field(default=2014, description="Which split of the images, and which file names.")
    annotations: str | None = Field(
        default=None,
        description="Annotation file of the training images, or of all, below the data folder; none: the official one.",
    )
    val_annotations: str | None = Field(
        default=None, description="Annotation file of the validation images; none: the official one, if it is there."
    )
    images: str | None = Field(
        default=None, description="Folder that the file names begin in; none: train2014 and so on, images, or others."
    )
    val_fraction: float = Field(
        default=0.1, ge=0, lt=1, description="Share held out for validation if there is one annotation file only."
    )
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


AnyData = Annotated[FolderData | TarData | VocData | CocoData | ToyData, Field(discriminator="kind")]
