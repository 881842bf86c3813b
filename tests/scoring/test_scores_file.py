import os

import numpy as np
import pytest

from tagmask.contracts import Dataset, Record
from tagmask.errors import TagmaskError
from tagmask.scoring.scores_file import digest, digest_of_all, is_older, read_scores
from tagmask.stages.run_folder import RunFolder

A, B = Record("a", (0,), "train", has_mask=True), Record("b", (0,), "train", has_mask=True)


class Truths(Dataset):
    name, classes, records = "truths", ("cat", "dog"), (A, B)

    def __init__(self, masks):
        self.masks = masks

    def image_path(self, record):
        return None

    def read_image(self, record):
        raise NotImplementedError

    def read_mask(self, record):
        return self.masks.get(record.id)


def mask(*rows):
    return np.array(rows, np.int32)


def test_a_digest_tells_masks_images_and_shapes_apart():
    seen = {digest(A, mask([0, 1])), digest(A, mask([0, 2])), digest(B, mask([0, 1])), digest(A, mask([0], [1]))}
    assert len(seen) == 4
    assert digest(A, mask([0, 1])) == digest(A, mask([0, 1])[:, ::-1][:, ::-1])  # however it lies in memory


def test_the_digest_of_all_does_not_depend_on_their_order_and_passes_over_images_without_truth():
    truths = Truths({"a": mask([0, 1]), "b": mask([1])})
    both = digest_of_all(truths, [A, B])
    assert both == digest_of_all(truths, [B, A]) == digest(A, mask([0, 1])) + digest(B, mask([1]))
    assert digest_of_all(truths, [A, Record("c", (), "train")]) == digest(A, mask([0, 1]))
    assert digest_of_all(truths, []) == 0


def test_results_written_after_the_scores_are_noticed(tmp_path):
    scores, mask_file = tmp_path / "scores.json", tmp_path / "a.png"
    for place, file in enumerate((mask_file, scores)):
        file.touch()
        os.utime(file, ns=(10 + place, 10 + place))
    assert not is_older(scores, [mask_file, tmp_path / "gone.png"])
    os.utime(mask_file, ns=(99, 99))
    assert is_older(scores, [mask_file])


def test_scores_keep_what_they_hold(tmp_path):
    folder = RunFolder(tmp_path)
    assert read_scores(folder) == {}
    folder.scores.write_text('{"mask": {"protocol": "p", "mean_iou": 0.5, "iou": {"cat": null}, "threshold": 0.3}}')
    assert read_scores(folder) == {"mask": {"protocol": "p", "mean_iou": 0.5, "iou": {"cat": None}, "threshold": 0.3}}


@pytest.mark.parametrize(
    "text", ["[]", "3", '{"mask": 3}', '{"mask": {}}', '{"mask": {"protocol": "p", "iou": []}}', "{", '{"mask": null}']
)
def test_scores_of_another_form_are_refused_with_the_way_out(tmp_path, text):
    RunFolder(tmp_path).scores.write_text(text)
    with pytest.raises(TagmaskError, match=r"scores\.json"):
        read_scores(RunFolder(tmp_path))
