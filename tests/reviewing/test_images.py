import io

import numpy as np
import pytest
from PIL import Image

from tagmask.data.images import write_mask
from tagmask.errors import TagmaskError
from tagmask.reviewing.images import RunImages
from tagmask.reviews.store import Review
from tagmask.stages.run import open_run


@pytest.fixture
def images(run_copy):
    return RunImages(run_copy)


def test_images_come_as_quality_csv_has_them_and_the_others_last(run_copy):
    ids = [record.id for record in run_copy.training_records]
    run_copy.folder.quality.write_text(f"image,quality\n{ids[2]},0.1\n{ids[0]},0.2\n")
    images = RunImages(run_copy)
    assert [record.id for record in images.records] == [ids[2], ids[0], ids[1], ids[3]]
    assert [image["quality"] for image in images.listing()["images"]] == [0.1, 0.2, None, None]


def test_the_page_is_told_what_is_known(images):
    record = images.records[1]
    images.reviews.write(record.id, Review(decision="rejected", tags=()))
    told = images.listing()
    assert sorted(told["random"]) == list(range(4))
    assert told["colors"][:3] == [[0, 0, 0], [128, 0, 0], [0, 128, 0]]
    assert len(told["colors"]) == len(told["classes"]) + 1
    image = told["images"][1]
    assert (image["id"], image["decision"], image["tags"]) == (record.id, "rejected", [])
    assert image["given"] == [told["classes"][tag] for tag in record.tags]
    assert told["images"][0]["version"] == ""


def test_a_version_changes_with_every_review(images):
    record = images.records[0]
    versions = [images.version(record)]
    for review in (Review(decision="rejected"), Review(decision="rejected"), Review(tags=())):
        images.reviews.write(record.id, review)
        versions.append(images.version(record))
        assert images.review(record) == review
    images.reviews.remove(record.id)
    assert len(set(versions)) == 4
    assert images.version(record) == versions[0] == ""
    assert images.review(record) == Review()


def test_the_mask_is_the_corrected_one_where_there_is_one(images):
    record = images.records[0]
    pseudo = images.pseudo_mask(record)
    mine = np.full_like(pseudo, 2)
    images.reviews.write(record.id, Review(decision="corrected"), mine)
    assert np.array_equal(images.mask(record), mine)
    images.reviews.write(record.id, Review(decision="rejected"))
    assert np.array_equal(images.mask(record), pseudo)


def test_revised_masks_are_shown_where_there_are_any(images):
    record = images.records[0]
    assert not images.shows_revised
    images.run.folder.note("revise-masks", done=True)
    again = RunImages(images.run)
    revised = np.full_like(images.pseudo_mask(record), 3)
    write_mask(
        images.run.folder.revised(record.id), revised, images.run.mask_ignore_value, len(again.listing()["classes"])
    )
    assert np.array_equal(again.pseudo_mask(record), revised)


def test_given_tags_stay_what_they_were_after_a_restart(images):
    record, name = images.records[0], images.run.dataset.classes[0]
    given = images.listing()["images"][0]["given"]
    images.reviews.write(record.id, Review(tags=(name,)))
    again = RunImages(open_run(images.run.folder.path, alone=False))
    assert again.run.used_reviews
    assert again.listing()["images"][0]["given"] == given
    assert again.listing()["images"][0]["tags"] == [name]


def test_pictures_are_jpeg(images):
    record = images.records[0]
    photo = Image.open(io.BytesIO(images.photo(record)))
    assert (photo.format, photo.size[::-1]) == ("JPEG", images.size(record))
    assert np.abs(np.asarray(photo).astype(int) - images.image(record)).mean() < 6
    assert Image.open(io.BytesIO(images.thumbnail(record))).size == photo.size
    assert images.regions(record, 4).shape == images.size(record)


def test_a_mask_of_another_size_is_told(images):
    record = images.records[0]
    Image.fromarray(np.zeros((3, 3), np.uint8)).save(images.run.folder.mask(record.id))
    with pytest.raises(TagmaskError, match="3 x 3 rows x columns"):
        images.mask(record)
    assert Image.open(io.BytesIO(images.thumbnail(record))).size == images.size(record)[::-1]
