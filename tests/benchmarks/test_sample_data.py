import csv

from tagmask.config import FolderData
from tagmask.data.datasets import open_dataset


def test_drawn_scenes_are_a_data_folder_of_the_asked_size_and_classes(script, tmp_path):
    script("sample_data").draw_scenes(tmp_path / "data", 3, 2, size=(40, 56), classes=5, tags=2)
    data = open_dataset(FolderData(), tmp_path / "data")
    assert [(record.split, record.tags) for record in data.records] == [
        ("train", (0, 1)),
        ("train", (2, 3)),
        ("train", (0, 4)),
        ("val", (1, 2)),
        ("val", (3, 4)),
    ]
    assert data.read_image(data.records[0]).shape == (40, 56, 3)
    assert len(data.classes) == 5


def test_some_photographs_of_a_folder_are_linked_with_every_class(script, tmp_path):
    sample = script("sample_data")
    sample.draw_scenes(tmp_path / "all", 6, 2, size=(40, 56))
    sample.data_folder(tmp_path / "some", 3, 1, tmp_path / "all")
    with (tmp_path / "some" / "tags.csv").open(newline="") as file:
        rows = [(row["image"], row["split"]) for row in csv.DictReader(file)]
    assert rows == [("00000.jpg", "train"), ("00001.jpg", "train"), ("00002.jpg", "train"), ("00006.jpg", "val")]
    assert (tmp_path / "some" / "images" / "00002.jpg").is_file()


def test_no_class_is_lost_however_late_its_first_photograph_comes(script):
    rows = [{"image": str(i), "tags": "b" if i == 7 else "a", "split": "train"} for i in range(8)]
    assert [row["image"] for row in script("sample_data").some(rows, "train", 3)] == ["0", "1", "7"]
