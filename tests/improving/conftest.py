import pytest

from tagmask.reviews.store import Review
from tagmask.stages.run import open_run


@pytest.fixture
def truth(run_copy):
    return {record.id: run_copy.dataset.read_mask(record) for record in run_copy.training_records}


@pytest.fixture
def reviewed(run_copy, truth):
    """A run of which two masks were corrected, one accepted and one rejected."""
    first, second, third, fourth = (record.id for record in run_copy.training_records)
    for image_id in (first, second):
        run_copy.reviews.write(image_id, Review(decision="corrected"), truth[image_id])
    run_copy.reviews.write(third, Review(decision="accepted"), truth[third])
    run_copy.reviews.write(fourth, Review(decision="rejected"))
    return open_run(run_copy.folder.path, alone=False)
