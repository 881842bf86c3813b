"""Published data sets as they are downloaded, made into folders for the recipes."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tagmask.cli.words import Command, say, say_notes
from tagmask.conventions import Counts

if TYPE_CHECKING:
    from tagmask.preparing.tree import Prepared

Whole = Annotated[
    Counts,
    typer.Option(
        "--counts",
        help="`published`: other numbers of images than those published are an error. `any`: a part will do.",
    ),
]


def prepare_voc(
    voc: Annotated[
        Path, typer.Argument(metavar="VOC", help="VOCtrainval_11-May-2012.tar, or the folder that came out of it.")
    ],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="New folder; it appears whole or not at all.")],
    sbd: Annotated[
        Path | None,
        typer.Option(
            metavar="SBD",
            help="benchmark.tgz, or the folder that came out of it; left out: VOC's folder has train_aug.txt and "
            "SegmentationClassAug already.",
        ),
    ] = None,
    counts: Whole = "published",
) -> None:
    """Make the folder VOC2012 with the 10 582 training images, and a mask for each."""
    from tagmask.preparing.voc import prepare_voc as prepare  # noqa: PLC0415

    _say(prepare(voc, sbd, out, counts))


def prepare_coco(
    coco: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="Folder with what was downloaded, as archives or unpacked."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="New folder; left out: nothing is made, what is unpacked is checked."),
    ] = None,
    year: Annotated[Literal["2014", "2017"], typer.Option(help="Which COCO.")] = "2014",
    counts: Whole = "published",
) -> None:
    """Unpack and check images and annotations of MS-COCO."""
    from tagmask.preparing.coco import prepare_coco as prepare  # noqa: PLC0415

    _say(prepare(coco, out, 2014 if year == "2014" else 2017, counts))


def prepared(recipe: str, data: Path | None, place: Path, settings: list[str], counts: Counts) -> Path | None:
    """The data of a recipe; of what was downloaded a folder is made first."""
    from tagmask.config.recipes import load_recipe  # noqa: PLC0415
    from tagmask.preparing.downloads import ready  # noqa: PLC0415

    config = load_recipe(recipe, settings).data
    if data is None:
        return None
    found = ready(config, data, place, counts)
    if found.counts:
        _say(found)
    return found.folder


def _say(done: "Prepared") -> None:
    say_notes(done.notes)
    word = "written" if done.is_new else "nothing to do"
    say(f"{word}: {done.folder} can be given as --data ({', '.join(done.counts)})")


COMMANDS = (
    Command(
        "prepare-voc",
        "Make one folder of PASCAL VOC 2012 and SBD as they were downloaded, and check it.",
        "tagmask prepare-voc VOCdevkit --sbd benchmark.tgz --out voc",
        prepare_voc,
        resumes=False,
    ),
    Command(
        "prepare-coco",
        "Unpack MS-COCO as it was downloaded, and check it.",
        "tagmask prepare-coco downloads --year 2014 --out data/coco",
        prepare_coco,
        resumes=False,
    ),
)
