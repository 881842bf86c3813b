from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from shared_runs import SIZE, tiny_backbone
from tagmask.config import AugmentConfig
from tagmask.contracts import Dataset, Record
from tagmask.conventions import IGNORE
from tagmask.data.images import read_mask, write_mask
from tagmask.errors import TagmaskError
from tagmask.masks.confident_labels import grid_labels
from tagmask.system.storage import write_posteriors
from tagmask.training.samples import LabelSamples, MaskSamples, PosteriorSamples, TagSamples

WHOLE = AugmentConfig(crop=SIZE, flip=0, jitter=None)
RANDOM = AugmentConfig(crop=40, scale=(0.5, 2.0))
NORMALIZATION = tiny_backbone().normalization
STRIDE = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory, scenes):
    """Every training scene's own mask as pseudo mask, and as sure posteriors."""
    path = tmp_path_factory.mktemp("written")
    for record in scenes.split("train"):
        mask = scenes.read_mask(record)
        write_mask(path / f"{record.id}.png", mask, None, len(scenes.classes))
        classes = np.array([tag + 1 for tag in record.tags], np.int16)
        shares = (mask == np.array([0, *classes])[:, None, None]).astype(np.float32)
        write_posteriors(path / f"{record.id}.npz", {"low": shares, "high": shares}, classes)
    return path


def every_kind(scenes, folder, augment):
    shared = (scenes, scenes.split("train"), augment, NORMALIZATION)
    return (
        TagSamples(*shared),
        PosteriorSamples(*shared, folder=folder, stride=STRIDE),
        LabelSamples(*shared, folder=folder, ignore_value=255, stride=STRIDE),
        MaskSamples(*shared, masks=lambda record, size: read_mask(folder / f"{record.id}.png", 255)),
    )


def test_a_sample_is_a_function_of_seed_epoch_and_index(scenes, folder):
    for samples in every_kind(scenes, folder, RANDOM):
        first, again = samples.sample(1, 2, 3), samples.sample(1, 2, 3)
        assert torch.equal(first.image, again.image)
        assert first.mask is None or torch.equal(first.mask, again.mask)
        for other in ((2, 2, 3), (1, 3, 3)):
            assert not torch.equal(samples.sample(*other).image, first.image)


def test_all_trainings_see_the_same_view(scenes, folder):
    tags, *others = (samples.sample(0, 1, 2) for samples in every_kind(scenes, folder, RANDOM))
    assert len(others) == 3
    assert all(torch.equal(tags.image, other.image) for other in others)


def test_samples_carry_the_tags_of_their_record(scenes, folder):
    samples = every_kind(scenes, folder, WHOLE)[0]
    assert len(samples) == 4
    for index, record in enumerate(scenes.split("train")):
        sample = samples.sample(0, 0, index)
        assert sample.id == record.id
        assert sample.tags.nonzero().flatten().tolist() == list(record.tags)
        assert sample.mask is None


def test_a_whole_view_is_the_normalised_image_and_its_mask(scenes, folder):
    masks = every_kind(scenes, folder, WHOLE)[3]
    record = scenes.split("train")[0]
    sample = masks.sample(0, 0, 0)
    torch.testing.assert_close(sample.image, NORMALIZATION.apply(scenes.read_image(record)))
    np.testing.assert_array_equal(sample.mask, scenes.read_mask(record))
    assert sample.valid.all()


def test_ignored_and_padded_pixels_have_no_label(scenes):
    record = scenes.split("train")[0]
    mask = np.full((SIZE, SIZE), 2, np.int32)
    mask[:8] = IGNORE
    augment = AugmentConfig(crop=SIZE + 16, flip=0, jitter=None)
    sample = MaskSamples(scenes, [record], augment, NORMALIZATION, masks=lambda *_: mask).sample(0, 0, 0)
    assert (sample.mask == 2).sum() == (SIZE - 8) * SIZE
    assert (sample.mask == IGNORE).sum() == (SIZE + 16) ** 2 - (SIZE - 8) * SIZE
    assert sample.valid.sum() == SIZE**2


def test_confident_labels_lie_on_the_grid_of_the_view(scenes, folder):
    samples = every_kind(scenes, folder, WHOLE)[1]
    record = scenes.split("train")[0]
    label = samples.sample(0, 0, 0).mask
    assert label.shape == (SIZE // STRIDE, SIZE // STRIDE)
    truth = scenes.read_mask(record)
    blocks = (
        truth.reshape(SIZE // STRIDE, STRIDE, SIZE // STRIDE, STRIDE).transpose(0, 2, 1, 3).reshape(*label.shape, -1)
    )
    uniform = (blocks == blocks[..., :1]).all(axis=2)
    numbers = np.array([0, *(tag + 1 for tag in record.tags)])
    assert 0 < uniform.sum() < uniform.size
    assert (label >= 0).all()  # low and high agree everywhere
    np.testing.assert_array_equal(numbers[label][uniform], blocks[..., 0][uniform])


def test_cells_outside_the_image_have_no_confident_label(scenes, folder):
    augment = AugmentConfig(crop=SIZE + 5 * STRIDE, flip=0, jitter=None)
    samples = every_kind(scenes, folder, augment)[1]
    sample = samples.sample(0, 0, 1)
    outside = ~torch.nn.functional.max_pool2d(sample.valid[None].float(), STRIDE)[0].bool()
    assert outside.any()
    assert (sample.mask[outside] == IGNORE).all()
    assert (sample.mask[~outside] >= 0).all()


@pytest.mark.parametrize("augment", [WHOLE, RANDOM, AugmentConfig(crop=SIZE + 6, flip=1.0, jitter=None)])
def test_labels_per_pixel_are_sampled_from_the_view_of_the_mask(scenes, folder, augment):
    *_, labels, masks = every_kind(scenes, folder, augment)
    for index in range(len(labels)):
        found, whole = labels.sample(0, 1, index), masks.sample(0, 1, index)
        assert found.mask.shape == (-(-augment.crop // STRIDE), -(-augment.crop // STRIDE))
        assert found.mask.dtype == torch.int64
        np.testing.assert_array_equal(found.mask, grid_labels(whole.mask.numpy().astype(np.int32), STRIDE))
        assert set(found.mask.unique().tolist()) <= {IGNORE, 0, *(tag + 1 for tag in scenes.split("train")[index].tags)}


def test_undecided_pixels_have_no_label_on_the_grid(scenes, tmp_path):
    record = scenes.split("train")[0]
    mask = np.zeros((SIZE, SIZE), np.int32)
    mask[:, SIZE // 2 :] = IGNORE
    write_mask(tmp_path / f"{record.id}.png", mask, 255, len(scenes.classes))
    samples = LabelSamples(scenes, [record], WHOLE, NORMALIZATION, folder=tmp_path, ignore_value=255, stride=STRIDE)
    grid, half = samples.sample(0, 0, 0).mask, SIZE // STRIDE // 2
    assert (grid[:, :half] == 0).all()
    assert (grid[:, half:] == IGNORE).all()


class Salient(Dataset):
    """One image whose right half is salient."""

    name, classes = "salient", ("a",)
    records = (Record("x", (0,), "train"),)

    def read_image(self, record):
        return np.repeat(self.read_saliency(record)[..., None] * 255, 3, axis=2).astype(np.uint8)

    def read_mask(self, record):
        return None

    def image_path(self, record):
        return None

    def read_saliency(self, record):
        return np.repeat([[0.0, 1.0]], 20, axis=0).repeat(10, axis=1)


def test_saliency_follows_the_image():
    samples = TagSamples(Salient(), Salient.records, replace_augment(flip=1.0), NORMALIZATION, Salient().read_saliency)
    sample = samples.sample(0, 0, 0)
    assert sample.saliency.shape == (1, 20, 20)
    assert (sample.saliency[0, :, :10] == 1).all()
    assert (sample.saliency[0, :, 10:] == 0).all()
    assert ((sample.image[0] > 0) == (sample.saliency[0] > 0.5)).all()


@pytest.mark.parametrize("augment", [RANDOM, WHOLE])
@pytest.mark.parametrize("enlarged", [0.5, 1, 3])
def test_saliency_of_another_size_still_lies_on_its_image(scenes, augment, enlarged):
    """A map that is the image itself, stored smaller or larger, is the view of the image."""
    size = round(SIZE * enlarged)

    def read(record):
        ramp = np.linspace(0, 1, SIZE)[None, :].repeat(SIZE, 0)
        return np.asarray(Image.fromarray(ramp.astype(np.float32)).resize((size, size), Image.Resampling.BILINEAR))

    class Ramp(Salient):
        def read_image(self, record):
            ramp = np.linspace(0, 255, SIZE)[None, :, None].repeat(SIZE, 0).repeat(3, 2)
            return ramp.round().astype(np.uint8)

    plain = augment.model_copy(update={"jitter": None, "flip": 0.5})
    samples = TagSamples(Ramp(), Salient.records, plain, NORMALIZATION, read)
    for epoch in range(4):
        sample = samples.sample(0, epoch, 0)
        shown = sample.image[0] * NORMALIZATION.std[0] + NORMALIZATION.mean[0]
        assert sample.saliency.shape == (1, *sample.image.shape[1:])
        assert (shown - sample.saliency[0])[sample.valid].abs().max() < 0.05
        assert (sample.saliency[0][~sample.valid] == 0).all()


def test_saliency_is_read_only_where_it_is_needed():
    assert TagSamples(Salient(), Salient.records, replace_augment(), NORMALIZATION).sample(0, 0, 0).saliency is None


def replace_augment(**fields):
    return WHOLE.model_copy(update={"crop": 20, **fields})


def test_a_missing_file_is_named(scenes, tmp_path):
    for samples in every_kind(scenes, tmp_path, WHOLE)[1:]:
        with pytest.raises(TagmaskError, match="train/00000"):
            samples.sample(0, 0, 0)


def test_samples_of_a_negative_have_no_tags(scenes):
    negative = replace(scenes.split("train")[0], tags=())
    assert TagSamples(scenes, [negative], WHOLE, NORMALIZATION).sample(0, 0, 0).tags.tolist() == [0, 0, 0, 0]


def test_groups_are_the_images_of_each_class_that_has_any_and_those_without_a_class(scenes):
    tags = [(0, 2), (), (2,), (0,), ()]
    records = [Record(str(i), each, "train") for i, each in enumerate(tags)]
    samples = TagSamples(scenes, records, WHOLE, NORMALIZATION)
    assert samples.groups() == [[0, 3], [0, 2], [1, 4]]
