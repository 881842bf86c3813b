"""From maps to masks, as a run does it and by the plain chain: ``python benchmarks/label_synthesis.py [--json FILE]``.

The plain chain is what published code does, one after the other: a walk by squarings of the full matrix at stride 8,
its maps as a compressed npz, read again for the CRF, and pydensecrf on one thread (ours where pydensecrf cannot be
imported: see ``dense_crf``). Both sides read the same images and maps (drawn scenes of 375 x 500 pixels, two tags each,
random weights), find the same affinities with the same network (AffinityNet on MobileNetV2), and refine by the CRF of
AffinityNet. They take turns, no loader processes, as many threads as torch takes.
"""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import dense_crf
import numpy as np
import torch
from measuring import Median, Row, print_figures, seconds
from parts import remove
from PIL import Image
from random_walk import BETA, SQUARINGS, dense_transition, dense_walk
from sample_data import draw_scenes
from whole_run import IN_PROCESS, TRAININGS, called, gone_all_the_way

from tagmask.config import CRF_PRESETS
from tagmask.config.recipes import load_recipe
from tagmask.contracts import AffinityModel, Record
from tagmask.inference.passes import load_pyramids
from tagmask.masks.crf import unary_from_probabilities
from tagmask.masks.from_archives import scores_with_background, walk_start, walked_at_image_size
from tagmask.masks.scores import argmax_classes
from tagmask.stages.masks import masks_of_each
from tagmask.stages.run import Run, begin_run, open_run, trained_affinity_net
from tagmask.system.storage import MapArchive, read_maps

SIZE, IMAGES, TURNS = (375, 500), 4, 5
CRF = CRF_PRESETS["psa"]
SETTINGS = (
    *(f"{name}.steps=2" for name in TRAININGS),
    *("data.largest_side=null", "maps.scales=[1.0]", "masks.crf=psa", "masks.background.value=4"),
    *(f"walk.steps={2**SQUARINGS}", f"walk.beta={BETA}", "walk.border=full"),
)


def run() -> Iterator[Row]:
    """Seconds of an image on each side, their ratio, and how far the masks agree."""
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "run"
        data = draw_scenes(Path(root) / "data", IMAGES, 2, size=SIZE)
        begin_run(load_recipe("folder-cpu-cam", [*IN_PROCESS, *SETTINGS]), data, folder, alone=False)
        gone_all_the_way(folder, called)
        yield from compared(open_run(folder, alone=False), Path(root) / "plain")


def compared(begun: Run, place: Path) -> Iterator[Row]:
    """Both sides in turns, after one that warms up."""
    place.mkdir()
    records, each = begun.training_records, masks_of_each(begun)
    affinity = begun.recipe.affinity
    assert affinity is not None
    chain = PlainChain(begun, trained_affinity_net(begun, affinity), affinity.stride, place)
    make = each.maker()
    taken: list[tuple[float, float]] = []
    for _ in range(TURNS + 1):
        remove(records, each.paths)
        taken.append((seconds(lambda: make(records)) / IMAGES, seconds(lambda: chain(records)) / IMAGES))
    own, plain = zip(*taken[1:], strict=True)
    yield "image", SIZE
    yield "images", IMAGES
    yield "crf", "tagmask" if dense_crf.DenseCRF2D is None else "pydensecrf"
    yield "seconds", Median(own)
    yield "plain_seconds", Median(plain)
    yield "times_faster", Median([there / here for here, there in zip(own, plain, strict=True)])
    yield "equal_pixels", float(np.mean([same(begun, record, place) for record in records]))


def same(begun: Run, record: Record, place: Path) -> float:
    """Share of pixels on which both masks agree."""
    with Image.open(begun.folder.mask(record.id)) as mine, Image.open(place / f"{record.id}.png") as plain:
        return float((np.asarray(mine) == np.asarray(plain)).mean())


@dataclass(frozen=True)
class PlainChain:
    """One image after the other, one step after the other.

    Attributes:
        run: where images and maps are read.
        net: finds affinities.
        stride: of its grid.
        place: where files go.
    """

    run: Run
    net: AffinityModel
    stride: int
    place: Path

    def __call__(self, records: Sequence[Record]) -> None:
        """Walks of all images, then masks of all images."""
        normalization = self.net.backbone.normalization
        for record, image, scaled in load_pyramids(self.run.dataset, records, [1.0], None, normalization, workers=0):
            self._walk(record, (image.shape[0], image.shape[1]), scaled[0])
        for record in records:
            self._mask(record)

    @torch.inference_mode()
    def _walk(self, record: Record, size: tuple[int, int], image: torch.Tensor) -> None:
        maps = read_maps(self.run.folder.maps(record.id))
        scores, classes = scores_with_background(maps, size, self.run.recipe.masks.background)
        start = torch.from_numpy(walk_start(scores, size, self.stride, self.run.recipe.walk))
        affinities = self.net.neighbourhood(image[None], "full").affinities[0].numpy()
        walked = dense_walk(start.flatten(1), dense_transition(affinities)).reshape(start.shape).numpy()
        path = self.place / f"{record.id}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, maps=walked, classes=classes)

    def _mask(self, record: Record) -> None:
        image = self.run.dataset.read_image(record)
        size = (image.shape[0], image.shape[1])
        with np.load(self.place / f"{record.id}.npz") as stored:
            archive = MapArchive(stored["classes"], stored["maps"], size)
        scores = walked_at_image_size(archive, size, self.run.recipe.walk, self.stride).maps
        refine = dense_crf.ours if dense_crf.DenseCRF2D is None else dense_crf.theirs
        posterior, _, _ = refine(image, unary_from_probabilities(scores / scores.sum(axis=0)), CRF)
        mask = argmax_classes(posterior, archive.classes)
        Image.fromarray(mask.astype(np.uint8)).save(self.place / f"{record.id}.png")


if __name__ == "__main__":
    print_figures(run, __doc__)
