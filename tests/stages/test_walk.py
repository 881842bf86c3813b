from dataclasses import replace

import numpy as np
import pytest
import torch

from archives import WHOLE, archive
from devices import DEVICES
from shared_runs import SIZE, TinyBackbone, tiny_recipe
from tagmask.config import AffinityConfig
from tagmask.contracts import AffinityModel, Neighbourhood
from tagmask.masks.grids import to_grid
from tagmask.stages import affinity
from tagmask.stages.affinity import walk_maps, walker
from tagmask.stages.run import Run
from tagmask.system.storage import read_maps, write_maps

STRIDE = 8


class Fixed(AffinityModel):
    """Every cell has the same affinity to its neighbour on the right; notes what it sees."""

    config_type = AffinityConfig

    def __init__(self, affinity: float, passable=None) -> None:
        super().__init__()
        self.backbone, self.stride, self.offsets = TinyBackbone(), STRIDE, [(0, 1)]
        self.affinity, self.passable, self.seen = affinity, passable, []

    def neighbourhood(self, images, border="full"):
        self.seen.append((tuple(images.shape), border))
        rows, columns = (-(-side // STRIDE) for side in images.shape[2:])
        affinities = torch.full((1, 1, rows, columns), self.affinity)
        affinities[..., -1] = 0
        passable = None if self.passable is None else torch.full((1, 1, rows, columns), self.passable)
        return Neighbourhood(affinities, passable)

    def outputs(self, batch):
        return batch.images

    def losses_from(self, outputs, batch):
        return {}

    def parameter_groups(self):
        return []


@pytest.fixture
def run(run_copy) -> Run:
    """A run with random maps that have walked nowhere yet."""
    random = np.random.default_rng(3)
    for record in run_copy.training_records:
        maps = random.random((len(record.tags), *WHOLE))
        write_maps(run_copy.folder.maps(record.id), archive([tag + 1 for tag in record.tags], maps))
        run_copy.folder.walks(record.id).unlink()
    return run_copy


def walking(run: Run, *settings: str) -> Run:
    return replace(run, recipe=tiny_recipe(f"affinity.stride={STRIDE}", *settings))


def walked(run: Run, net: Fixed, *settings: str) -> list:
    here = walking(run, *settings)
    walk_maps(here, net, here.recipe.affinity, here.training_records)
    return [read_maps(here.folder.walks(record.id)) for record in here.training_records]


# ── one neighbourhood ────────────────────────────────────────────────────────────────────────────────────────────────


def pair(affinity: float, passable: float | None = None) -> Neighbourhood:
    """Two cells beside each other."""
    found = torch.tensor([[[[affinity, 0.0]]]])
    return Neighbourhood(found, None if passable is None else torch.full((1, 1, 1, 2), passable))


@pytest.mark.parametrize(("beta", "weight"), [(1, 0.5), (2, 0.25)])
def test_a_step_is_the_mean_weighted_by_the_power_of_the_affinity(tiny_run, beta, weight):
    walk = walker(walking(tiny_run, f"walk.beta={beta}", "walk.steps=1"), Fixed(0.5), pair(0.5))
    expected = [1 / (1 + weight), weight / (1 + weight)]
    np.testing.assert_allclose(walk(np.array([[[1.0, 0.0]]], np.float32)), [[expected]], atol=1e-5)


def test_no_steps_leave_the_maps_where_they_are(tiny_run):
    walk = walker(walking(tiny_run, "walk.steps=0"), Fixed(1.0), pair(1.0))
    np.testing.assert_allclose(walk(np.array([[[1.0, 0.25]]], np.float32)), [[[1, 0.25]]])


def test_few_training_images_have_steps_of_their_own(tiny_run):
    run = walking(tiny_run, "walk.steps={below: 1000, few: 0}")
    assert len(run.training_records) < 1000
    np.testing.assert_allclose(walker(run, Fixed(1.0), pair(1.0))(np.array([[[1.0, 0.25]]], np.float32)), [[[1, 0.25]]])
    enough = walking(tiny_run, f"walk.steps={{below: {len(run.training_records)}, few: 0, many: 1}}")
    assert walker(enough, Fixed(1.0), pair(1.0))(np.array([[[1.0, 0.0]]], np.float32))[0, 0, 1] > 0.1


def test_both_forms_of_the_walk_arrive_at_the_same_place(tiny_run):
    maps = np.array([[[1.0, 0.0]], [[0.25, 0.5]]], np.float32)
    found = [
        walker(walking(tiny_run, f"walk.form={form}"), Fixed(0.9), pair(0.9))(maps) for form in ("exact", "chebyshev")
    ]
    np.testing.assert_allclose(*found, atol=1e-4)


def test_what_is_not_passable_damps_the_maps_before_they_walk(tiny_run):
    run = walking(tiny_run, "walk.steps=1", "walk.beta=1")
    plain, damped = (walker(run, Fixed(1.0), pair(1.0, factor)) for factor in (None, 0.5))
    maps = np.array([[[1.0, 0.0]]], np.float32)
    np.testing.assert_allclose(plain(maps), [[[0.5, 0.5]]], atol=1e-6)
    np.testing.assert_allclose(damped(maps), [[[0.25, 0.25]]], atol=1e-6)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("passable", [None, 0.5])
def test_a_device_walks_where_the_affinities_are_as_the_processor_does(tiny_run, device, passable, monkeypatch):
    run, maps = walking(tiny_run), np.array([[[1.0, 0.0]], [[0.25, 0.5]]], np.float32)
    expected = walker(run, Fixed(0.9), pair(0.9, passable))(maps)
    monkeypatch.setattr(affinity, "_walk_here", affinity._walk_there)  # tensors on the processor, too
    found = pair(0.9, passable)
    there = Neighbourhood(found.affinities.to(device), None if passable is None else found.passable.to(device))
    walked = walker(run, Fixed(0.9), there)(maps)
    assert isinstance(walked, np.ndarray)
    np.testing.assert_allclose(walked, expected, atol=1e-5)


# ── all images ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_training_image_gets_its_walk_on_the_grid(run):
    for record, found in zip(run.training_records, walked(run, Fixed(1.0)), strict=True):
        assert found.classes.tolist() == [0, *(tag + 1 for tag in record.tags)]
        assert found.maps.shape[1:] == (SIZE // STRIDE, SIZE // STRIDE)
        assert found.size == WHOLE


def test_maps_without_affinities_stay_the_means_of_their_cells(run):
    for record, found in zip(run.training_records, walked(run, Fixed(0.0), "walk.steps=9"), strict=True):
        maps = read_maps(run.folder.maps(record.id)).maps
        np.testing.assert_allclose(found.maps[1:], to_grid(maps, WHOLE, STRIDE), atol=1e-3)


def test_a_long_walk_along_full_affinities_levels_each_row(run):
    found = walked(run, Fixed(1.0), "walk.steps=2000", "walk.form=exact")[0].maps
    assert np.ptp(found, axis=2).max() < 0.01
    assert np.ptp(found, axis=1).max() > 0.01  # rows are strangers to each other


@pytest.mark.parametrize(
    ("settings", "background"),
    [
        ((), True),
        (("masks.background.when=after_walk",), False),
        (("masks.background={rule: threshold, value: 0.3}",), False),
        (("masks.background.rule=none",), False),
    ],
)
def test_a_background_walks_along_only_if_it_is_a_power_of_the_maps_made_before(run, settings, background):
    assert {found.has_background for found in walked(run, Fixed(1.0), *settings)} == {background}


def test_a_background_that_was_learnt_walks_along(run):
    record = run.training_records[0]
    write_maps(run.folder.maps(record.id), archive([0, 1], np.full((2, *WHOLE), 0.5)))
    found = walked(run, Fixed(1.0), "masks.background.when=after_walk")[0]
    assert found.classes.tolist() == [0, 1]
    np.testing.assert_allclose(found.maps, 0.5, atol=1e-3)


def test_the_network_sees_the_image_at_the_size_and_border_that_the_walk_asks_for(run):
    net = Fixed(1.0)
    walked(run, net, "walk.base_long_side=60", "walk.border=interior")
    assert net.seen == [((1, 3, 60, 60), "interior")] * 4


def test_walks_that_are_there_are_kept(run):
    record, net = run.training_records[2], Fixed(1.0)
    write_maps(run.folder.walks(record.id), archive([1], np.full((1, 6, 6), 0.75)))
    found = walked(run, net)
    assert len(net.seen) == 3
    assert (found[2].maps == 0.75).all()
