import shutil

import pytest

import published_trees as published
from tagmask.config import CocoData, FolderData, VocData
from tagmask.errors import TagmaskError
from tagmask.preparing.downloads import ready
from tagmask.preparing.tree import Prepared
from tagmask.preparing.voc import prepare_voc


@pytest.fixture
def downloads(tmp_path):
    """A folder with VOC's archive and SBD's, and nothing else."""
    made = published.voc_archives(tmp_path / "made")
    (tmp_path / "downloads").mkdir()
    for archive in made:
        shutil.copy(archive, tmp_path / "downloads")
    return tmp_path / "downloads"


def test_archives_of_voc_are_made_into_a_folder_once(downloads, tmp_path):
    found = ready(VocData(), downloads, tmp_path / "out" / "data", "any")
    assert (found.folder, found.is_new) == (tmp_path / "out" / "data", True)
    assert found.counts == ("12 train", "12 val", "48 train_aug", "60 masks")
    again = ready(VocData(), downloads, tmp_path / "out" / "data", "any")
    assert (again.folder, again.is_new, again.counts) == (found.folder, False, found.counts)


def test_the_archive_itself_may_be_named(downloads, tmp_path):
    archive = downloads / "VOCtrainval_11-May-2012.tar"
    assert ready(VocData(), archive, tmp_path / "data", "any").is_new


def test_a_part_of_what_was_published_is_refused(downloads, tmp_path):
    with pytest.raises(TagmaskError, match="12 images in train, published 1464"):
        ready(VocData(), downloads, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_a_folder_of_voc_without_the_masks_of_sbd_beside_it_is_completed(tmp_path):
    voc, sbd = published.voc_archives(tmp_path)
    (tmp_path / "both").mkdir()
    shutil.unpack_archive(voc, tmp_path / "both")
    shutil.copy(sbd, tmp_path / "both")
    found = ready(VocData(), tmp_path / "both", tmp_path / "data", "any")
    assert found.counts == ("12 train", "12 val", "48 train_aug", "60 masks")


def test_what_is_ready_is_taken_as_it_is(tmp_path):
    made = prepare_voc(*published.voc_archives(tmp_path), tmp_path / "VOC2012", "any").folder
    shutil.copy(tmp_path / "benchmark.tgz", made)
    assert ready(VocData(), made, tmp_path / "data") == Prepared(made, False, ())
    assert ready(FolderData(), tmp_path, tmp_path / "data") == Prepared(tmp_path, False, ())


def test_archives_of_coco_are_unpacked_and_its_folders_are_not(tmp_path):
    packed = published.coco_archives(tmp_path / "made")
    found = ready(CocoData(), packed, tmp_path / "data", "any")
    assert found.is_new
    assert found.counts == ("44 train (42 with a tag)", "16 val (15 with a tag)")
    assert ready(CocoData(), found.folder, tmp_path / "other", "any") == Prepared(found.folder, False, ())
    assert ready(CocoData(annotations="own.json"), packed, tmp_path / "other") == Prepared(packed, False, ())
