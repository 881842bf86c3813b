import tracemalloc
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from hypothesis import given
from hypothesis import strategies as st

from noise import Noise
from tagmask.config import AugmentConfig, TrainingConfig
from tagmask.errors import TagmaskError
from tagmask.training.batches import REPETITION, BalancedKeys, BatchKeys, collate, load_batches

# ── order of the images ──────────────────────────────────────────────────────────────────────────────────────────────

sizes = (st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.integers(0, 3))


@given(*sizes)
def test_every_epoch_holds_every_index_once(num_samples, batch_size, steps, seed):
    keys = list(BatchKeys(num_samples, batch_size, steps, seed))
    assert [len(batch) for batch in keys] == [batch_size] * steps
    stream = [key for batch in keys for key in batch]
    assert [epoch for epoch, _ in stream] == [i // num_samples for i in range(len(stream))]
    for start in range(0, len(stream) - num_samples + 1, num_samples):
        assert sorted(index for _, index in stream[start : start + num_samples]) == list(range(num_samples))
    assert len(set(stream)) == len(stream)


@given(*sizes)
def test_the_order_is_a_function_of_the_seed_and_does_not_depend_on_the_length(num_samples, batch_size, steps, seed):
    long = list(BatchKeys(num_samples, batch_size, steps + 3, seed))
    assert list(BatchKeys(num_samples, batch_size, steps, seed)) == long[:steps]


def test_epochs_and_seeds_shuffle_differently():
    first, second = BatchKeys(50, 50, 2, seed=0)
    assert [index for _, index in first] != [index for _, index in second]
    assert list(BatchKeys(50, 50, 1, seed=1)) != [first]


def test_the_order_is_that_of_shuffled_epochs_one_after_the_other():
    epochs = [np.random.default_rng([7, epoch]).permutation(3).tolist() for epoch in range(2)]
    assert list(BatchKeys(3, 2, 3, seed=7)) == [
        [(0, epochs[0][0]), (0, epochs[0][1])],
        [(0, epochs[0][2]), (1, epochs[1][0])],
        [(1, epochs[1][1]), (1, epochs[1][2])],
    ]


def test_a_long_training_holds_no_more_than_an_epoch():
    tracemalloc.start()
    keys = BatchKeys(1000, 16, 10**7, seed=0)
    assert len(keys) == 10**7
    assert len(keys[9_999_999]) == 16
    assert tracemalloc.get_traced_memory()[1] < 10**6
    tracemalloc.stop()
    with pytest.raises(IndexError):
        keys[10**7]


@given(st.integers(2, 20), st.integers(1, 9), st.integers(1, 9), st.integers(0, 3))
def test_balanced_epochs_show_equally_many_of_each_group_and_no_view_twice(num_samples, batch_size, steps, seed):
    groups = [[0], list(range(1, num_samples))]
    stream = [key for batch in BalancedKeys(num_samples, batch_size, steps, seed, groups) for key in batch]
    assert len(set(stream)) == len(stream) == batch_size * steps
    assert [epoch % REPETITION for epoch, _ in stream] == [i // num_samples for i in range(len(stream))]
    for start in range(0, len(stream) - num_samples + 1, num_samples):
        rare = sum(index == 0 for _, index in stream[start : start + num_samples])
        assert rare in (num_samples // 2, -(-num_samples // 2))
    assert next(iter(BalancedKeys(num_samples, batch_size, steps, seed, groups))) == stream[:batch_size]


def test_a_group_is_gone_through_before_any_of_it_comes_again():
    stream = [key for batch in BalancedKeys(12, 12, 1, 0, [[0, 1], list(range(2, 12))]) for key in batch]
    counts = Counter(index for _, index in stream)
    assert counts[0] == counts[1] == 3
    assert all(counts[index] <= 1 for index in range(2, 12))


# ── batches ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_collate_stacks_fields_and_leaves_out_what_samples_lack():
    sample = Noise().sample(0, 0, 0)
    batch = collate([sample, sample])
    assert batch.ids == ("0", "0")
    assert batch.images.shape == (2, 3, 16, 16)
    assert batch.masks is None
    assert batch.saliency is None
    masked = replace(sample, mask=torch.zeros(4, 4, dtype=torch.int64))
    assert collate([masked, masked]).masks.shape == (2, 4, 4)


def config(**settings) -> TrainingConfig:
    return TrainingConfig(steps=3, batch_size=4, rate=0.1, workers=0, augment=AugmentConfig(crop=16), **settings)


def test_micro_batches_are_the_parts_of_a_steps_batch_in_order():
    whole = list(load_batches(Noise(), config(), 3, 1, 3, Accelerator(cpu=True)))
    parts = list(load_batches(Noise(), config(accumulation=2), 3, 1, 3, Accelerator(cpu=True)))
    assert [batch.ids for batch in whole] == [parts[i].ids + parts[i + 1].ids for i in (0, 2)]
    assert torch.equal(whole[0].images, torch.cat([parts[0].images, parts[1].images]))


def test_a_batch_that_cannot_be_shared_is_refused():
    accelerator = Accelerator(cpu=True)
    odd = config().model_copy(update={"accumulation": 3})
    with pytest.raises(TagmaskError, match=r"batch_size 4 cannot be shared .* make it a multiple of 3"):
        load_batches(Noise(), odd, 3, 0, 3, accelerator)


def test_a_batch_knows_its_padding_and_its_most_tags():
    samples = [Noise().sample(0, 0, index) for index in range(3)]
    samples[1].valid[:, 12:] = False
    samples[2].valid[:5] = False
    batch = collate(samples)
    assert batch.boxes == (
        (slice(0, 16), slice(0, 16)),
        (slice(0, 16), slice(0, 12)),
        (slice(5, 16), slice(0, 16)),
    )
    assert batch.most_tags == max(int(sample.tags.sum()) for sample in samples)
