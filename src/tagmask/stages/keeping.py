"""What a run keeps of what leads to its masks: ``masks.keep``. No number depends on it, only what can be looked at."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tagmask.contracts import Record
from tagmask.data.datasets import score_records
from tagmask.stages.run import Run
from tagmask.stages.sharing import spread_evenly
from tagmask.system.storage import is_whole

SHOWN = 200  # images on which the strength of the background is found, evenly over the tagged ones


@dataclass(frozen=True)
class Keeping:
    """Which maps and walks stay in a run folder.

    Attributes:
        run: whose maps and walks.
        looked_at: ids of the training images that keep both whatever the recipe says.
    """

    run: Run
    looked_at: frozenset[str]

    def walk(self, image_id: str) -> bool:
        """Whether the walk of an image is written."""
        return self.run.recipe.masks.keep != "maps" or image_id in self.looked_at

    def maps(self, image_id: str) -> bool:
        """Whether the maps of an image stay when its mask is there."""
        return self.run.recipe.masks.keep != "walks" or image_id in self.looked_at

    def walk_file(self, image_id: str) -> Path:
        """The file that tells that an image's maps have walked: the walk, or the mask that was made of it at once."""
        return self.run.folder.walks(image_id) if self.walk(image_id) else self.run.folder.mask(image_id)

    def maps_file(self, image_id: str) -> Path:
        """The file that tells that an image's maps have been made: they, or the walk that has outlived them.

        Maps are needed again where the walk is lost, or the affinity network, whose labels are made of them, or a mask
        that is made of maps and not of the walk.
        """
        folder = self.run.folder
        if self.maps(image_id):
            return folder.maps(image_id)
        later = [folder.walks(image_id), folder.weights("affinity")]
        later += [folder.mask(image_id), folder.confidence(image_id)] * (self.run.recipe.masks.confident is not None)
        return folder.walks(image_id) if all(map(is_whole, later)) else folder.maps(image_id)

    def remove_the_rest(self) -> None:
        """Remove the maps, or walks, that the recipe does without once all masks are there; never behind a link."""
        folder, kept = self.run.folder, self.run.recipe.masks.keep
        if kept == "all":
            return
        name, path = ("walks", folder.walks) if kept == "maps" else ("maps", folder.maps)
        if (folder.path / name).is_symlink():
            return
        for record in self.run.training_records:
            if record.id not in self.looked_at:
                path(record.id).unlink(missing_ok=True)


def keeping(run: Run) -> Keeping:
    """What a run keeps.

    Images that are scored or shown, or on which the strength of the background is found, keep maps and walks, so that
    scores are what they would be.
    """
    if run.recipe.masks.keep == "all":
        return Keeping(run, frozenset())
    return Keeping(run, frozenset(record.id for record in (*images_to_look_at(run), *background_images(run))))


def images_to_look_at(run: Run) -> Sequence[Record]:
    """The training images whose maps are scored, or, where no image has a mask to score maps on, shown by a report.

    Which they are does not change when a person corrects tags.
    """
    if scored := score_records(run.dataset, run.recipe.data, run.data):
        return scored
    tagged = [record for record in run.given_records if record.tags]
    chosen = {record.id for record in spread_evenly(tagged, max(1, run.recipe.report.num_images))}
    return [record for record in run.training_records if record.id in chosen]


def background_images(run: Run) -> list[Record]:
    """The images on which the strength of the background is found, spread over all; none where it is set."""
    background = run.recipe.masks.background
    if isinstance(background.factor, float):
        return []
    if background.factor == "masks":
        return spread_evenly([r for r in run.records_with_truth if r.tags], background.masks_for_choosing)
    return spread_evenly([record for record in run.training_records if record.tags], SHOWN)
