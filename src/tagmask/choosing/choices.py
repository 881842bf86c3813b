"""From what is known of data and machine to settings, each with its reason."""

from collections.abc import Iterator
from dataclasses import dataclass

from tagmask.choosing.machine import GIB, Machine
from tagmask.choosing.object_size import PoolingTrial
from tagmask.config.choice import Choice

GPU_MEMORY = 7 * GIB  # what recipe `folder` needs: cards of 8 GB have a little less
SIDE_ON_CPU = 320  # pixels of the longer side that a processor can look at in reasonable time
SMALLEST_SIDE = 128
MOST_STEPS = 2000  # of a training on a processor: more images than that teach more slowly
INSPECTION = 0.2  # of images that show nothing: photographs of things have hardly any, pictures of products many
CROP_SHARE = 0.8  # of the side, as photographs are usually cropped


@dataclass(frozen=True)
class DataFacts:
    """What is known of training images without a mask.

    Attributes:
        images: how many there are.
        negatives: how many of them carry no tag.
        side: median of the longer sides in pixels.
        trial: which pooling tells tags better; None: not tried.
    """

    images: int
    negatives: int
    side: int
    trial: PoolingTrial | None = None


def choose_recipe(facts: DataFacts, machine: Machine) -> Choice:
    """The recipe that the other choices change."""
    small = _why_small(facts)
    if small:
        return Choice("recipe", "folder-cpu-small", small)
    if machine.device_memory is not None and machine.device_memory >= GPU_MEMORY:
        return Choice("recipe", "folder", f"there is a GPU with {machine.device_memory / GIB:.0f} GiB.")
    known = None if facts.trial is None or facts.trial.lead_between is None else _both(facts.trial)
    large = f"{known}: objects fill a good part of their images; and " if known else ""
    return Choice("recipe", "folder-cpu", f"{large}there is no GPU with 8 GB.")


def _why_small(facts: DataFacts) -> str | None:
    """Why objects are taken to be small; None: they are not."""
    share = facts.negatives / max(1, facts.images)
    shown = f"{share:.0%} of the images show nothing, as where defects are looked for"
    lead = None if facts.trial is None else facts.trial.lead_between
    if facts.trial is None or lead is None:
        return f"{shown}: objects are taken to be small." if share >= INSPECTION else None
    if lead[0] > 0:
        return f"{_both(facts.trial)}: objects are small."
    if share >= INSPECTION and lead[1] > 0:
        return f"{_both(facts.trial)}, which leaves it open, and {shown}: objects are taken to be small."
    return None


def _both(trial: PoolingTrial) -> str:
    values = f"{100 * trial.by_maximum:.0f} and {100 * trial.by_mean:.0f} mean average precision"
    return f"tags are told by what is anywhere in an image and by what fills it with {values}"


def choose_settings(recipe: str, facts: DataFacts, machine: Machine) -> list[Choice]:
    """What the recipe should have otherwise for these data and this machine."""
    choices = [*_sizes(recipe, facts), *_steps(recipe, facts)]
    workers = max(0, min(machine.cores - 1, 8))
    cores = "1 core" if machine.cores == 1 else f"{machine.cores} cores"
    return [*choices, Choice("workers", workers, f"{cores}, of which one computes.")]


def _sizes(recipe: str, facts: DataFacts) -> Iterator[Choice]:
    if recipe != "folder-cpu":
        return  # of small things the scale they were taken at says much, and a GPU looks at any size
    side = max(SMALLEST_SIDE, min(facts.side, SIDE_ON_CPU))
    if side == SIDE_ON_CPU and facts.side <= SIDE_ON_CPU * 9 // 8:
        return  # the recipe was made for such images
    seen = f"the images have {facts.side} pixels on their longer side (median)"
    why = f"{seen}, and a processor looks at {SIDE_ON_CPU} at most." if facts.side > SIDE_ON_CPU else f"{seen}."
    crop = 32 * round(CROP_SHARE * side / 32) + 1
    yield Choice("training.augment.long_side", [round(0.8 * side), round(1.2 * side)], why)
    yield Choice("training.augment.crop", crop, why)
    yield Choice("segmenter.training.augment.crop", crop, why)
    yield Choice("maps.base_long_side", side, why)
    yield Choice("segmenter.base_long_side", side, why)


def _steps(recipe: str, facts: DataFacts) -> Iterator[Choice]:
    if recipe == "folder":
        return
    epochs = {"training": (4, 16), "affinity.training": (3, 8), "segmenter.training": (6, 16)}
    for name, (count, batch) in epochs.items() if recipe == "folder-cpu" else ():
        if facts.images * count / batch > MOST_STEPS:
            why = f"{facts.images:,} images are more than {MOST_STEPS:,} steps of {batch} can show {count} times."
            yield Choice(f"{name}.steps", MOST_STEPS, why)
