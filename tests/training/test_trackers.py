import typing

import numpy as np
import pytest
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, GeneralTracker

from tagmask.config.training import Tracker
from tagmask.errors import TagmaskError
from tagmask.training import trackers as module
from tagmask.training.trackers import check_trackers, open_trackers

PICTURE = np.zeros((4, 6, 3), np.uint8)


class Remembering(GeneralTracker):
    """A tracker that keeps what it is told."""

    name, requires_logging_directory, main_process_only = "remembering", False, False

    def __init__(self, project):
        super().__init__(_blank=True)
        self.told = [project]

    def start(self):
        self.told.append("started")

    def store_init_configuration(self, settings):
        self.told.append(settings)

    def log(self, values, step):
        self.told.append((values, step))

    def log_images(self, images):
        self.told.append({title: len(each) for title, each in images.items()})

    def finish(self):
        self.told.append("finished")


def test_the_names_are_those_of_accelerate():
    assert set(typing.get_args(Tracker)) == set(LOGGER_TYPE_TO_CLASS)


def test_every_tracker_is_told_the_same_in_order(tmp_path, monkeypatch):
    monkeypatch.setitem(LOGGER_TYPE_TO_CLASS, "wandb", Remembering)
    monkeypatch.setattr(module, "get_available_trackers", lambda: ["wandb"])
    found = open_trackers(["wandb"], tmp_path / "photos", "segmenter", {"rate": 0.1, "scales": (1.0,), "flip": True})
    found.numbers({"pixels": 2.5}, 7)
    found.pictures({"cat": PICTURE})
    found.finish()
    assert found.trackers[0].told == [
        *("photos", "started", {"rate": 0.1, "scales": "(1.0,)", "flip": True}),
        *(({"segmenter/pixels": 2.5}, 7), {"segmenter/cat": 1}, "finished"),
    ]


def test_none_is_fine(tmp_path):
    found = open_trackers([], tmp_path, "method", {})
    found.numbers({"tags": 1.0}, 1)
    found.pictures({"cat": PICTURE})
    found.finish()
    assert not list(tmp_path.iterdir())


def test_one_that_is_not_installed_is_named_with_its_package(monkeypatch):
    monkeypatch.setattr(module, "get_available_trackers", lambda: ["tensorboard"])
    with pytest.raises(TagmaskError, match="comet_ml: not installed; pip install comet-ml"):
        check_trackers(["tensorboard", "comet_ml"])
    monkeypatch.setattr(module, "get_available_trackers", list)
    with pytest.raises(TagmaskError, match=r"tensorboard: not installed; pip install 'tagmask\[tensorboard\]', or"):
        check_trackers(["tensorboard"])
