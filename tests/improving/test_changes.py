import json

import numpy as np
import pytest

from tagmask.improving.beginning import begin_improved
from tagmask.improving.changes import changes, lead_between
from tagmask.stages.pipeline import run_all
from typed import call


def test_what_changed_is_told_and_kept(reviewed, tmp_path):
    improved = begin_improved(reviewed, tmp_path / "better", 0.5)
    run_all(improved)
    found = changes(reviewed, improved)
    assert [change.subject for change in found] == ["masks", "network"]
    for change in found:
        # of one image, every draw is the same
        assert change.lead == pytest.approx((change.after - change.before,) * 2, abs=0.011)
        assert 0 < change.before < 100
    kept = json.loads((improved.folder.path / "improvement.json").read_text())
    assert kept["held_back"] == list(improved.held_back)
    assert kept["changes"][0]["after"] == found[0].after


def test_the_interval_is_wide_where_images_disagree():
    right, wrong = (np.array([[hits, [1, 1], [1, 1]]]) for hits in ([1, 1], [0, 0]))
    mixed = np.concatenate([right, wrong, right, wrong])
    low, high = lead_between(mixed, mixed[::-1])
    assert low < 0 < high


def test_the_command_says_what_it_used_and_what_it_changed(reviewed, capsys, monkeypatch):
    code, text = call(capsys, monkeypatch, "improve", reviewed.folder.path, "--hold-back", "0.5")
    assert code == 0, text
    assert "reviews: 1 accepted, 1 corrected, 1 rejected, tags of 0 changed, 1 held back" in text
    assert "masks: " in text
    assert "network: " in text
    assert (reviewed.folder.path.with_name("copy-improved") / "report.html").exists()


def test_the_command_says_when_nothing_is_compared(reviewed, capsys, monkeypatch):
    code, text = call(capsys, monkeypatch, "improve", reviewed.folder.path, "--hold-back", "0")
    assert code == 0, text
    assert "nothing is compared: no corrected image was held back" in text
    assert "mean IoU in percent" not in text
