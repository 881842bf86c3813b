from dataclasses import replace

import numpy as np
import pytest

from tagmask.errors import TagmaskError
from tagmask.improving.beginning import begin_improved, first_stage
from tagmask.reviews.store import Review
from tagmask.stages.pipeline import run_all
from tagmask.stages.results import LearnedMasks

CORRECTED = Review(decision="corrected")


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_second_run_learns_from_reviews_but_for_those_held_back(reviewed, truth, tmp_path):
    before = files(reviewed.folder.path)
    improved = begin_improved(reviewed, tmp_path / "better", 0.5)
    assert len(improved.held_back) == 1
    assert improved.held_back[0] in [record.id for record in reviewed.training_records[:2]]
    run_all(improved)
    assert files(reviewed.folder.path) == before  # the first run stays as it was
    learned = LearnedMasks(improved)
    for record in improved.training_records[:3]:
        is_learned = np.array_equal(learned(record, (48, 48)), truth[record.id]) and improved.is_drawn(record)
        assert is_learned == (record.id not in improved.held_back)
    manifest = improved.folder.manifest()
    assert manifest["train-segmenter"]["drawn_masks"] == 2
    assert manifest["train-segmenter"]["images"] == 3
    assert manifest["train-method"] == reviewed.folder.manifest()["train-method"]
    assert manifest["train-affinity"] != reviewed.folder.manifest()["train-affinity"]
    for name in ("affinity", "segmenter"):
        assert improved.folder.weights(name).read_bytes() != reviewed.folder.weights(name).read_bytes()


def test_wrong_tags_begin_at_the_classifier_and_their_maps_are_made_again(reviewed, tmp_path):
    names = reviewed.dataset.classes
    record = reviewed.training_records[3]
    other = next(number for number in range(len(names)) if number not in record.tags)
    reviewed.reviews.write(record.id, Review(tags=(names[other],)))
    assert first_stage(reviewed, [Review(tags=()), CORRECTED]) == "train-method"
    improved = begin_improved(reviewed, tmp_path / "better", 0.5, "train-affinity")
    assert not improved.folder.maps(record.id).exists()
    assert improved.folder.maps(reviewed.training_records[0].id).exists()
    run_all(improved)
    mask = set(np.unique(LearnedMasks(improved)(improved.training_records[3], (48, 48))).tolist())
    assert mask <= {0, other + 1}


def test_the_same_call_goes_on_and_another_folder_is_refused(reviewed, tmp_path):
    first = begin_improved(reviewed, tmp_path / "better", 0.5)
    held = first.held_back
    del first
    assert begin_improved(reviewed, tmp_path / "better", 0.0).held_back == held
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "diary.txt").write_text("mine")
    with pytest.raises(TagmaskError, match="not empty"):
        begin_improved(reviewed, tmp_path / "full", 0.5)
    with pytest.raises(TagmaskError, match="improves no other"):
        begin_improved(reviewed, reviewed.folder.path, 0.5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["better", "copy", "full"]


def test_a_failed_beginning_leaves_nothing(reviewed, tmp_path):
    with pytest.raises(TagmaskError, match="no stage 'train-dragons'"):
        begin_improved(reviewed, tmp_path / "better", 0.5, "train-dragons")
    assert not list(tmp_path.glob("*better*"))
    assert not list(tmp_path.glob(".*"))


def test_without_reviews_there_is_nothing_to_learn(run_copy, tmp_path):
    with pytest.raises(TagmaskError, match="nobody has reviewed a mask"):
        begin_improved(run_copy, tmp_path / "better", 0.5)


def test_ignoring_reviews_holds_nothing_back_either(reviewed, tmp_path):
    improved = begin_improved(reviewed, tmp_path / "better", 0.5)
    masks = improved.recipe.masks.model_copy(update={"reviews": "ignore"})
    ignoring = replace(improved, recipe=improved.recipe.model_copy(update={"masks": masks}))
    assert not any(map(ignoring.is_drawn, ignoring.training_records))


def test_what_a_person_may_paint_over_is_a_file_of_its_own(reviewed, tmp_path):
    improved = begin_improved(reviewed, tmp_path / "better", 0.5, "train-segmenter")
    record = reviewed.training_records[0]
    ours, theirs = (run.folder for run in (reviewed, improved))
    assert theirs.mask(record.id).read_bytes() == ours.mask(record.id).read_bytes()
    assert not theirs.mask(record.id).samefile(ours.mask(record.id))
    assert not theirs.log.samefile(ours.log)
    assert theirs.maps(record.id).read_bytes() == ours.maps(record.id).read_bytes()
