"""Opening any data set, and the images on whose masks seeds are scored."""

from pathlib import Path

import pytest

from data.datasets.photo_folder import mask_of, paint, table
from tagmask.config import FolderData, ToyData
from tagmask.data.datasets import open_dataset, score_records
from tagmask.data.images import write_mask
from tagmask.errors import TagmaskError


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tags": "labels.csv"}, r"no table of tags at .*labels\.csv; .*data\.tags=null"),
        ({"masks": "nomasks"}, r"nomasks does not exist; expected the folder of masks \(data\.masks\)"),
        ({"score_ids": "no.txt"}, r"cannot read the list .*no\.txt"),
    ],
)
def test_what_is_named_and_missing_is_told_on_opening(tmp_path: Path, settings: dict[str, str], message: str):
    paint(tmp_path, "a.jpg")
    table(tmp_path, "image,tags", "a.jpg,cat")
    with pytest.raises(TagmaskError, match=message):
        open_dataset(FolderData(**settings), tmp_path)


def test_score_records(tmp_path: Path):
    paint(tmp_path, "a.jpg", "b.jpg", "c.jpg", "d.jpg")
    table(tmp_path, "image,tags,split", "a.jpg,cat,train", "b.jpg,cat,train", "c.jpg,cat,train", "d.jpg,cat,val")
    for name in "abd":
        write_mask(tmp_path / "masks" / f"{name}.png", mask_of(1))
    (tmp_path / "some.txt").write_text("b.jpg\nc\nd\n")
    (tmp_path / "none.txt").write_text("d\n")

    def scored(**settings: str) -> list[str]:
        config = FolderData(masks="masks", **settings)
        return [record.id for record in score_records(open_dataset(config, tmp_path), config, tmp_path)]

    assert scored() == ["a", "b"]
    assert scored(score_ids="some.txt") == ["b"]
    with pytest.raises(TagmaskError, match="score_ids"):
        scored(score_ids="none.txt")
    (tmp_path / "strange.txt").write_text("b\nzebra\n")
    with pytest.raises(TagmaskError, match=r"names 1 image\(s\) that the data do not have: zebra; .* such as a:"):
        scored(score_ids="strange.txt")
    with pytest.raises(TagmaskError, match=r"missing\.txt"):
        scored(score_ids="missing.txt")


def test_a_folder_for_drawn_scenes_is_refused(tmp_path):
    with pytest.raises(TagmaskError, match="leave out --data"):
        open_dataset(ToyData(), tmp_path)
