"""Instances of one image, the stage that finds those of a run, and IRN on drawn scenes of touching objects."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch.nn import functional as F

from shared_runs import tiny_backbone, tiny_recipe
from tagmask.affinity.pairs import pair_offsets
from tagmask.config import InstancesConfig, WalkConfig
from tagmask.config.recipes import load_recipe
from tagmask.contracts import AffinityModel, Backbone, Dataset, Level, Neighbourhood, Normalization, Record
from tagmask.data.datasets import open_dataset
from tagmask.data.datasets.scenes import GLYPHS, Thing, draw_mask, draw_scene, place_things
from tagmask.errors import TagmaskError
from tagmask.stages import instances, run
from tagmask.stages.affinity import FindsCentres, train_affinity
from tagmask.stages.instances import InstanceMaker, make_instances
from tagmask.stages.run import Run, begin_run
from tagmask.stages.run_folder import RunFolder
from tagmask.system.storage import MapArchive, write_maps

PYCOCOTOOLS = "ignore:__array__ implementation:DeprecationWarning"  # its decoder predates numpy 2
IRN = "affinity={kind: irn, radius: 4, walk_radius: 3, training: {steps: 2, rate: 0.01, augment: {crop: 48}}}"


def still(maps: np.ndarray) -> np.ndarray:
    return maps


def archive(classes, maps, size) -> MapArchive:
    return MapArchive(np.array(classes, np.int16), np.asarray(maps, np.float32), size)


# ── one image ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("size", [(33, 47), (64, 40), (50, 100)])
@pytest.mark.parametrize("long_side", [None, 80])
def test_halves_of_an_image_of_any_size(tmp_path, size, long_side):
    walk = WalkConfig(base_long_side=long_side, resizing="bilinear")
    factor = 1 if long_side is None else long_side / max(size)
    scaled = round(size[0] * factor), round(size[1] * factor)
    rows, columns = (-(-side // 4) for side in scaled)
    field = np.zeros((2, rows, columns), np.float32)
    away = np.abs(np.arange(columns) - columns // 2 + 0.5)
    field[1] = np.where(away < columns / 4, 3 * np.sign(np.arange(columns) - columns // 2 + 0.5), 0)  # from the middle
    maker = InstanceMaker(RunFolder(tmp_path), InstancesConfig(), walk, 4)
    found = maker.instances(archive([5], np.ones((1, *size)), size), scaled, field, still)
    assert [instance.class_number for instance in found] == [5, 5]
    masks = np.stack([instance.mask for instance in found])
    assert (masks.sum(axis=0) == 1).all()
    left = masks[np.argmax(masks[:, 0, 0])]
    assert abs(left.sum() / left.size - 0.5) < 0.1


def test_a_learnt_background_decides_instead_of_the_constant(tmp_path):
    maps = np.zeros((2, 48, 48), np.float32)
    maps[0], maps[1] = 0.5, 0.4
    maps[1, 8:32, 8:32] = 0.6
    maker = InstanceMaker(RunFolder(tmp_path), InstancesConfig(background=0.25), WalkConfig(resizing="bilinear"), 1)
    (found,) = maker.instances(archive([0, 3], maps, (48, 48)), (48, 48), np.zeros((2, 48, 48), np.float32), still)
    assert found.class_number == 3
    np.testing.assert_array_equal(found.mask, maps[1] > maps[0])
    everything = archive([3], maps[1:], (48, 48))  # without it the constant leaves nothing to the background
    (whole,) = maker.instances(everything, (48, 48), np.zeros((2, 48, 48), np.float32), still)
    assert whole.mask.all()


def test_clusters_part_what_the_learnt_background_leaves(tmp_path):
    maps = np.stack([np.full((8, 24), 0.3), np.full((8, 24), 0.4)]).astype(np.float32)
    maps[0, :2] = 0.9
    field = np.zeros((2, 8, 24), np.float32)
    field[1, :, 9:12], field[1, :, 12:15] = -3, 3  # away from the middle
    maker = InstanceMaker(RunFolder(tmp_path), InstancesConfig(), WalkConfig(resizing="bilinear"), 1)
    found = maker.instances(archive([0, 2], maps, (8, 24)), (8, 24), field, still)
    assert sorted(int(instance.mask.sum()) for instance in found) == [72, 72]
    assert not any(instance.mask[:2].any() for instance in found)


@pytest.mark.parametrize("num_maps", [0, 2])
def test_an_image_without_tags_or_evidence_has_none(tmp_path, num_maps):
    empty = archive(range(1, num_maps + 1), np.zeros((num_maps, 33, 47)), (33, 47))
    maker = InstanceMaker(RunFolder(tmp_path), InstancesConfig(), WalkConfig(), 4)
    assert maker.instances(empty, (33, 47), np.zeros((2, 9, 12), np.float32), still) == []


# ── the stage ────────────────────────────────────────────────────────────────────────────────────────────────────────


class TwoHalves(AffinityModel):
    """Finds a centre in each half of any image, and no cell that belongs to another."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone, self.stride, self.offsets = tiny_backbone(), 4, pair_offsets(2)
        self.seen = 0

    def displacements(self, images):
        self.seen += 1
        rows, columns = -(-images.shape[2] // 4), -(-images.shape[3] // 4)
        right = torch.arange(columns) - columns // 2 + 0.5
        field = torch.zeros(1, 2, rows, columns)
        field[0, 1] = torch.where(right.abs() < 3, 3 * right.sign(), 0)
        return field

    def neighbourhood(self, images, border="full"):
        rows, columns = -(-images.shape[2] // 4), -(-images.shape[3] // 4)
        return Neighbourhood(torch.zeros(1, len(self.offsets), rows, columns), torch.ones(1, 1, rows, columns))

    def measure_shift(self, images):
        """Is asked for by the protocol."""

    def outputs(self, batch):
        return batch.images

    def losses_from(self, outputs, batch):
        return {}

    def parameter_groups(self):
        return []


def prepared(folder, *settings) -> Run:
    """A run of four scenes of 48 pixels whose affinity network is said to be trained; maps are 1 everywhere."""
    recipe = tiny_recipe(IRN, "instances={workers: 0}", "data.size=50", *settings)
    made = Run(recipe, RunFolder(folder), open_dataset(recipe.data, None), None)
    for record in made.training_records:
        classes = [tag + 1 for tag in record.tags][:1]
        write_maps(made.folder.maps(record.id), archive(classes, np.ones((len(classes), 50, 50)), (50, 50)))
    for stage in ("make-maps", "train-affinity"):
        made.folder.note(stage, done=True)
    return made


@pytest.fixture
def two_halves(monkeypatch):
    net = TwoHalves()
    monkeypatch.setattr(instances, "trained_affinity_net", lambda *_: net)
    return net


def test_the_stage_writes_coco(tmp_path, two_halves):
    made = prepared(tmp_path)
    make_instances(made)
    content = json.loads(made.folder.instances.read_text())
    assert [image["file_name"] for image in content["images"]] == [f"{r.id}.png" for r in made.training_records]
    assert [category["name"] for category in content["categories"]] == list(made.dataset.classes)
    tagged = [number for number, record in enumerate(made.training_records, start=1) if record.tags]
    assert sorted(entry["image_id"] for entry in content["annotations"]) == sorted(tagged * 2)
    assert sum(entry["area"] for entry in content["annotations"]) == 2500 * len(tagged)
    assert made.folder.is_done("make-instances")


def test_the_stage_goes_on_where_it_was_killed(tmp_path, two_halves):
    made = prepared(tmp_path)
    make_instances(made)
    whole = made.folder.instances.read_bytes()
    made.folder.note("make-instances", done=False)
    made.folder.image_instances(made.training_records[1].id).unlink()
    made.folder.instances.unlink()
    two_halves.seen = 0
    make_instances(made)
    assert made.folder.instances.read_bytes() == whole
    assert two_halves.seen == 1
    make_instances(made)
    assert two_halves.seen == 1


def test_no_instances_unless_asked_for(tmp_path):
    made = prepared(tmp_path, "instances=null")
    with pytest.raises(TagmaskError, match=r"asks for no instances; begin the run with --set instances=\{\}"):
        make_instances(made)
    assert not made.folder.instances.exists()


@pytest.mark.parametrize(("changes", "named"), [({"affinity": None}, "no affinity network"), ({}, "affinitynet")])
def test_other_affinity_networks_are_refused_at_once(tmp_path, changes, named):
    recipe = tiny_recipe("instances={}").model_copy(update=changes)
    with pytest.raises(TagmaskError, match=rf"{named}; set affinity\.kind to irn"):
        begin_run(recipe, None, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_irn_without_displacements_is_refused_at_once(tmp_path):
    recipe = load_recipe("folder-cpu", ["instances={}"])
    with pytest.raises(TagmaskError, match=r"does not learn these; set affinity\.displacements=true"):
        begin_run(recipe, tmp_path, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_instances_wait_for_the_affinity_network(tmp_path):
    made = prepared(tmp_path)
    made.folder.note("train-affinity", done=False)
    with pytest.raises(TagmaskError, match="train-affinity"):
        make_instances(made)


# ── IRN ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

SIDE, NUM_DIFFERENT, NUM_ALIKE = 96, 64, 10


class Surroundings(Backbone):
    """How much the colour of each cell resembles that of its neighbours, and of cells farther away: nothing to learn.

    IRN's own backbone does not learn either, so that a good one is all it needs.
    """

    normalization = Normalization((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    steps = tuple(
        [(y, x) for y in range(-far, far + 1, by) for x in range(-far, far + 1, by) if (y, x) != (0, 0)]
        for far, by in ((1, 1), (8, 2))
    )
    levels = tuple(Level(len(each), 4) for each in steps)

    def forward_levels(self, images):
        cells = F.avg_pool2d(images, 4)
        wide, (rows, columns) = F.pad(cells, (8, 8, 8, 8)), cells.shape[-2:]
        return [torch.stack([alike(wide, y, x, rows, columns) for y, x in each], dim=1) for each in self.steps]

    def stages(self):
        return []


def alike(wide, y, x, rows, columns):
    there = wide[:, :, 8 + y : 8 + y + rows, 8 + x : 8 + x + columns]
    return (-3 * (there - wide[:, :, 8 : 8 + rows, 8 : 8 + columns]).abs().mean(dim=1)).exp()


class TouchingPairs(Dataset):
    """Scenes of two touching objects: many of two classes, which teach what an object is, and some of one class."""

    name, classes = "touching pairs", tuple(GLYPHS)[:4]

    def __init__(self) -> None:
        self.records = tuple(
            Record(f"{number:03d}", tuple(sorted({self.classes.index(thing.glyph) for thing in things})), "train", True)
            for number, things in ((number, self.things(number)) for number in range(NUM_DIFFERENT + NUM_ALIKE))
        )

    def things(self, number: int) -> tuple[Thing, Thing]:
        """Two objects whose outlines meet at the middle of the scene, of colours that differ."""
        random = np.random.default_rng([7, number])
        first, second = random.permutation(self.classes)[:2].tolist()
        (one,) = place_things(random, [first], SIDE)
        (other,) = place_things(random, [second if number < NUM_DIFFERENT else first], SIDE)
        sizes = [math.sqrt(math.prod(thing.half_axes)) for thing in (one, other)]
        turn, reach = random.uniform(0, 2 * math.pi), 0.97 * sum(sizes) / 2
        down, right = reach * math.sin(turn), reach * math.cos(turn)
        red, green, blue = one.colour
        return (
            replace(one, centre=(SIDE / 2 + down, SIDE / 2 + right)),
            replace(other, centre=(SIDE / 2 - down, SIDE / 2 - right), colour=(green, blue, red)),
        )

    def numbers(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.classes)}

    def read_image(self, record):
        return draw_scene(np.random.default_rng(int(record.id)), self.things(int(record.id)), SIDE)

    def read_mask(self, record):
        return draw_mask(self.things(int(record.id)), self.numbers(), SIDE)

    def image_path(self, record):
        return None


@pytest.fixture(scope="module")
def learned(tmp_path_factory) -> Run:
    """IRN trained on true masks as maps, and the instances it finds."""
    training = "steps: 60, batch_size: 4, optimizer: adamw, rate: 0.004, head_factor: 1, schedule: cosine, workers: 0"
    view = f"augment: {{crop: {SIDE}, jitter: null}}"
    recipe = tiny_recipe(
        "affinity={kind: irn, radius: 4, walk_radius: 3, edge_width: 8, displacement_width: 64, "
        f"labels: {{kind: thresholds, crf: {{iterations: 0}}}}, training: {{{training}, {view}}}}}",
        "instances={centre_below: 1.0, workers: 0}",
        "walk={beta: 10, steps: 256, resizing: bilinear}",
    )
    made = Run(recipe, RunFolder(tmp_path_factory.mktemp("touching")), TouchingPairs(), None)
    for record in made.training_records:
        classes = [tag + 1 for tag in record.tags]
        maps = made.dataset.read_mask(record) == np.array(classes, np.int32)[:, None, None]
        write_maps(made.folder.maps(record.id), archive(classes, maps, (SIDE, SIDE)))
    made.folder.note("make-maps", done=True)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("build_backbone", "bare_backbone"):
            patch.setattr(run, name, lambda _: Surroundings())
        train_affinity(made)
        make_instances(made)
    return made


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    return float((first & second).sum() / (first | second).sum())


@pytest.mark.slow
@pytest.mark.filterwarnings(PYCOCOTOOLS)
def test_two_touching_objects_of_one_class_are_two_instances(learned, capsys):
    coco = COCO(str(learned.folder.instances))
    good = 0
    for number, record in list(enumerate(learned.training_records, start=1))[NUM_DIFFERENT:]:
        entries = coco.loadAnns(coco.getAnnIds(imgIds=number))
        masks = [coco.annToMask(entry) > 0 for entry in entries]
        data = learned.dataset
        objects = [draw_mask((thing,), data.numbers(), SIDE) > 0 for thing in data.things(int(record.id))]
        assert {entry["category_id"] for entry in entries} == {record.tags[0] + 1}
        good += len(masks) == 2 and all(max(overlap(mask, each) for mask in masks) > 0.6 for each in objects)
    assert good >= 7, f"two instances in {good} of {NUM_ALIKE} scenes"


@pytest.mark.slow
@pytest.mark.filterwarnings(PYCOCOTOOLS)
def test_coco_scores_the_instances(learned, capsys):
    truth = COCO(str(learned.folder.instances))
    entries = json.loads(learned.folder.instances.read_text())["annotations"]
    evaluation = COCOeval(truth, truth.loadRes(entries), "segm")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1)  # against themselves


@pytest.mark.slow
def test_the_mean_displacement_is_measured_before_the_weights_are_written(learned):
    with pytest.MonkeyPatch.context() as patch:
        for name in ("build_backbone", "bare_backbone"):
            patch.setattr(run, name, lambda _: Surroundings())
        net = run.trained_affinity_net(learned, learned.recipe.affinity)
    assert isinstance(net, FindsCentres)
    assert (net.mean_displacement != 0).all()
