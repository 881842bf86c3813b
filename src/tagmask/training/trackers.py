"""What a run also tells to trackers of experiments: losses as they come, pictures and scores at the end.

The log of a run is written in any case. Trackers are those of Accelerate, by its names; where their servers are and who
may write there is settled as each of them documents it, by environment variables or a login.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate.tracking import LOGGER_TYPE_TO_CLASS, GeneralTracker, get_available_trackers

from tagmask.contracts import ImageArray
from tagmask.errors import TagmaskError

OWN_EXTRA = {"tensorboard": "'tagmask[tensorboard]'"}
"""How a tracker is installed that tagmask names itself; others go by their own names."""


@dataclass(frozen=True)
class Trackers:
    """Several trackers that are told the same.

    Attributes:
        trackers: Accelerate's; none is fine.
        topic: of what they are told, such as the stage of a run.
    """

    trackers: tuple[Any, ...]
    topic: str

    def numbers(self, values: Mapping[str, float], step: int) -> None:
        """Numbers of a step, such as losses."""
        for tracker in self.trackers:
            tracker.log({f"{self.topic}/{name}": value for name, value in values.items()}, step=step)

    def pictures(self, pictures: Mapping[str, ImageArray]) -> None:
        """Pictures ``uint8 h w 3`` by title; trackers that take none are passed over."""
        for tracker in self.trackers:
            for title, picture in pictures.items():
                _tell_picture(tracker, f"{self.topic}/{title}", picture)

    def finish(self) -> None:
        """Nothing more will come."""
        for tracker in self.trackers:
            tracker.finish()


def open_trackers(names: Sequence[str], folder: Path, topic: str, settings: Mapping[str, Any]) -> Trackers:
    """Open trackers for a part of a run.

    Args:
        names: of the trackers, as Accelerate calls them.
        folder: of the run, whose name is that of the project; trackers of files write below it.
        topic: a name for what they will be told.
        settings: which led to it; numbers, words and truth values are told, the rest as text.

    Raises:
        TagmaskError: a tracker is not installed.
    """
    check_trackers(names)
    found: tuple[Any, ...] = tuple(_tracker(name, folder.resolve(), topic) for name in names)
    for tracker in found:
        tracker.start()
        tracker.store_init_configuration({key: _plain(value) for key, value in settings.items()})
    return Trackers(found, topic)


def check_trackers(names: Sequence[str]) -> None:
    """Refuse trackers that are not installed.

    Raises:
        TagmaskError: their names, and how they are installed.
    """
    present = {str(getattr(each, "value", each)) for each in get_available_trackers()}
    if missing := [name for name in names if name not in present]:
        packages = " ".join(OWN_EXTRA.get(name, name.replace("_", "-")) for name in missing)
        raise TagmaskError(
            f"{', '.join(missing)}: not installed; pip install {packages}, or leave it out of training.trackers"
        )


def _tracker(name: str, folder: Path, topic: str) -> GeneralTracker:
    found: Any = LOGGER_TYPE_TO_CLASS[name]
    if name == "tensorboard":
        return found(name, folder)  # events go into a folder of this name
    if name == "mlflow":
        return found(experiment_name=folder.name, run_name=topic)
    return found(folder.name, folder) if found.requires_logging_directory else found(folder.name)


def _plain(value: Any) -> float | str | bool:
    return value if isinstance(value, bool | int | float | str) else str(value)


def _tell_picture(tracker: Any, title: str, picture: ImageArray) -> None:
    if tracker.name == "tensorboard":
        tracker.tracker.add_image(title, picture, dataformats="HWC")
    elif tracker.name == "mlflow":
        import mlflow  # noqa: PLC0415  # pyright: ignore[reportMissingImports] (optional dependency)

        mlflow.log_image(picture, f"{title}.png")
    elif hasattr(tracker, "log_images"):
        tracker.log_images({title: [picture]})
