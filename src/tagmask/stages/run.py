"""A run: a recipe, the data it learns from, the folder it writes to, and the networks it trains."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from pydantic import TypeAdapter

from tagmask.affinity import build_affinity_net
from tagmask.config import AffinityConfig, Recipe, Role, TimmBackbone, settings_of
from tagmask.config.recipes import changed_recipe
from tagmask.contracts import AffinityModel, Dataset, Method, Record
from tagmask.data.datasets import open_dataset
from tagmask.data.images import mask_bits
from tagmask.errors import TagmaskError
from tagmask.inference.predictor import build_segmenter
from tagmask.methods import build_method
from tagmask.networks.backbones import bare_backbone, build_backbone
from tagmask.networks.deeplab import DeepLab
from tagmask.networks.mixed_precision import is_quick_in_bf16
from tagmask.networks.saved import load_network
from tagmask.reviews.store import Review, Reviews
from tagmask.stages.checks import check_all_weights, check_before, check_data, check_networks
from tagmask.stages.run_folder import RunFolder
from tagmask.system.lock import lock_for
from tagmask.system.processes import this_process
from tagmask.system.storage import read_json_as


@dataclass(frozen=True)
class Run:
    """A recipe, the data it learns from and the folder it writes to.

    Attributes:
        recipe: every setting.
        folder: where results go.
        dataset: images and tags.
        data: the folder they lie in; None where they are drawn.
    """

    recipe: Recipe
    folder: RunFolder
    dataset: Dataset
    data: Path | None

    @property
    def given_records(self) -> tuple[Record, ...]:
        """Images that are learned from, with their tags as the data have them."""
        return self.dataset.split(self.recipe.data.train_split)

    @property
    def training_records(self) -> tuple[Record, ...]:
        """Images that are learned from, with their tags as a person has corrected them."""
        given = self.given_records
        return tuple(self._with_own_tags(record) for record in given) if self.used_reviews else given

    def _with_own_tags(self, record: Record) -> Record:
        review = self.used_reviews.get(record.id)
        if review is None or review.tags is None:
            return record
        return replace(record, tags=tuple(sorted(map(self.dataset.classes.index, review.tags))))

    @cached_property
    def used_reviews(self) -> Mapping[str, Review]:
        """What a person had decided about training images when the run was opened; nothing where it is ignored."""
        if self.recipe.masks.reviews == "ignore":
            return {}
        found = self.reviews.all([record.id for record in self.given_records])
        held = {image_id: found[image_id].model_copy(update={"decision": None}) for image_id in self.held_back}
        return {**found, **held}

    def reviewed(self) -> str:
        """How many reviews are used for what, in a sentence."""
        decided = Counter(review.decision for review in self.used_reviews.values())
        tags = sum(review.tags is not None for review in self.used_reviews.values())
        parts = [f"{decided[decision]} {decision}" for decision in ("accepted", "corrected", "rejected")]
        return f"reviews: {', '.join(parts)}, tags of {tags} changed, {len(self.held_back)} held back to judge by."

    @property
    def held_back(self) -> tuple[str, ...]:
        """Corrected images whose masks are not learned from, as they judge what reviews have improved."""
        file = self.folder.held_back
        if not file.exists():
            return ()
        held = read_json_as(file, TypeAdapter(tuple[str, ...]).validate_python, "delete it, and none is held back")
        return tuple(image_id for image_id in held if self.reviews.path(image_id).exists())

    @property
    def accepted_records(self) -> tuple[Record, ...]:
        """Training images whose masks are learned from: those that nobody has rejected."""
        rejected = {image_id for image_id, review in self.used_reviews.items() if review.decision == "rejected"}
        return tuple(record for record in self.training_records if record.id not in rejected)

    def is_drawn(self, record: Record) -> bool:
        """Whether a mask that a person has made or confirmed is learned from in place of the pseudo mask."""
        review = self.used_reviews.get(record.id)
        return (self.recipe.data.learn_from_masks and record.has_mask) or (review is not None and review.has_mask)

    @property
    def records_with_truth(self) -> tuple[Record, ...]:
        """Training images with a ground-truth mask."""
        return tuple(record for record in self.training_records if record.has_mask)

    @property
    def validation_records(self) -> tuple[Record, ...]:
        """Images that predictions are scored on."""
        return () if self.recipe.data.val_split is None else self.dataset.split(self.recipe.data.val_split)

    def found(self) -> str:
        """The classes with their numbers of training images, and what the run leaves aside, in a sentence or two."""
        counts = Counter(tag for record in self.training_records for tag in record.tags)
        classes = ", ".join(f"{name} ({counts[number]})" for number, name in enumerate(self.dataset.classes))
        used = {self.recipe.data.train_split, self.recipe.data.val_split}
        others = Counter(record.split for record in self.dataset.records if record.split not in used)
        aside = "".join(f" {count} images of the split {name!r} are not used." for name, count in others.items())
        return f"{len(self.training_records)} training images with {classes}.{aside}{self._own_stride()}"

    def _own_stride(self) -> str:
        """That the backbone keeps a stride of its own, where the recipe has asked for another."""
        config = self.recipe.backbone
        if not isinstance(config, TimmBackbone) or not config.own_stride:
            return ""
        with torch.device("meta"):
            stride = bare_backbone(config).stride
        if stride == config.output_stride:
            return ""
        return (
            f" {config.model} has cells of {stride} pixels; backbone.output_stride={config.output_stride} is ignored."
        )

    @property
    def mask_ignore_value(self) -> int:
        """The number that means "no label" in the run's masks."""
        own = self.recipe.masks.ignore_value
        return own if own is not None else 2 ** mask_bits(len(self.dataset.classes)) - 1

    @property
    def reviews(self) -> Reviews:
        """What a person has decided about the pseudo masks."""
        return Reviews(self.folder.reviews, self.dataset.classes, self.mask_ignore_value)

    @contextmanager
    def stage(self, name: str, **facts: object) -> Iterator[None]:
        """Time a stage and note it when it ends; no process goes on before all can read the note."""
        on_cuda = str(this_process().device).startswith("cuda")
        if on_cuda:
            torch.cuda.reset_peak_memory_stats()
        carried_out = {
            "execution": settings_of(self.recipe, Role.EXECUTION),
            "data": None if self.data is None else str(self.data.resolve()),
            "auto_precision": "bf16" if is_quick_in_bf16(torch.device(this_process().device or "cpu")) else "no",
        }
        with self.folder.stage(name, this_process().is_main_process, **carried_out, **facts):
            yield
        if on_cuda and this_process().is_main_process:
            self.folder.note(name, peak_device_memory=torch.cuda.max_memory_allocated() // 2**20)
        this_process().wait_for_everyone()

    def require(self, stage: str) -> None:
        """Refuse to go on before an earlier stage has finished."""
        if not self.folder.is_done(stage):
            raise TagmaskError(
                f"{self.folder.path}: stage `{stage}` has not finished; run `tagmask {stage} {self.folder.path}` first."
            )


# ── opening ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def begin_run(recipe: Recipe, data: Path | None, out: Path, alone: bool = True) -> Run:
    """Open the data, check everything that can be checked, and claim the output folder; or go on with a run.

    Args:
        recipe: what to do.
        data: the data folder; None for drawn scenes.
        out: the run folder, new or begun with the same recipe on the same data.
        alone: whether to keep other calls out of the folder while the run lives; what only looks at it need not.

    Raises:
        TagmaskError: bad data, too few images, a method without the saliency maps it learns from, a folder of another
            run, or one that another call works in.
    """
    check_before(recipe, data, out)
    dataset = open_dataset(recipe.data, data)
    check_data(recipe, dataset)
    run = Run(recipe, RunFolder(out), dataset, data)
    if this_process().is_main_process:
        run.folder.check_place()
        if alone and out.is_dir():
            lock_for(run, out)  # before its files are looked at: another call may be writing them
        run.folder.check(recipe, dataset)
        if not run.folder.is_begun:
            check_all_weights(recipe)
            check_networks(recipe, len(dataset.classes))
        if alone:
            lock_for(run, out)
        run.folder.claim(recipe, data, dataset)
    this_process().wait_for_everyone()
    return run


def open_run(
    folder: Path, data: Path | None = None, settings: Sequence[str] = (), alone: bool = True, scores: bool = True
) -> Run:
    """Go on with a run from its folder alone.

    Args:
        folder: a folder that ``tagmask run`` or ``tagmask begin`` wrote.
        data: where its data lie now; None: where they lay before.
        settings: changes as for ``load_recipe``, to how the run is carried out or scored.
        alone: as for ``begin_run``.
        scores: whether the run will be scored anew; if not, settings of scoring may not change, as its scores would
            be those of other settings.

    Raises:
        TagmaskError: no run, data that are gone or not those of the run, or a change that may not be.
    """
    known = _begun(folder)
    recipe = _changed(known, settings, scores)
    return begin_run(recipe, data or known.data(), folder, alone)


def open_shard(folder: Path, data: Path | None = None, settings: Sequence[str] = ()) -> Run:
    """A run of which one of many processes does some images; nothing of the run itself is written.

    Whether images can be read, and are the same pictures still, is left to calls for the whole run: each shard would
    read them all.

    Args:
        folder: as for ``open_run``.
        data: where its data lie on this machine; None: where they lay before.
        settings: changes to how this shard is carried out; the run keeps its own.

    Raises:
        TagmaskError: as for ``open_run``.
    """
    known = _begun(folder)
    recipe, place = _changed(known, settings, scores=False), data or known.data()
    if recipe.masks.keep != (kept := known.recipe().masks.keep):
        raise TagmaskError(
            f"masks.keep={recipe.masks.keep} for one shard of a run that keeps {kept}, as all shards do; begin "
            f"with `tagmask resume {folder} --set masks.keep={recipe.masks.keep}`, or leave it out"
        )
    check_before(recipe, place, folder)
    dataset = open_dataset(recipe.data, place, verify=False)
    check_data(recipe, dataset)
    known.check(recipe, dataset, pixels=False)
    return Run(recipe, known, dataset, place)


def _begun(folder: Path) -> RunFolder:
    known = RunFolder(folder)
    if not known.is_begun:
        raise TagmaskError(f"{folder} holds no run; begin one with `tagmask run`, or correct the path.")
    return known


def _changed(known: RunFolder, settings: Sequence[str], scores: bool) -> Recipe:
    before = known.recipe()
    recipe = changed_recipe(before, settings)
    if not scores and settings_of(before, Role.SCORING) != settings_of(recipe, Role.SCORING):
        raise TagmaskError(
            f"{' '.join(settings)} changes how the run is scored, and this command does not score: give it to "
            f"`tagmask evaluate {known.path}`, which writes scores and report"
        )
    return recipe


# ── networks ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def new_method(run: Run, load_initial: bool = True) -> Method:
    """The recipe's classifier with fresh heads."""
    torch.manual_seed(run.recipe.seed)
    build = build_backbone if load_initial else bare_backbone
    return build_method(run.recipe.method, build(run.recipe.backbone), len(run.dataset.classes))


def trained_method(run: Run) -> Method:
    """The trained classifier, in evaluation mode on this process's device."""
    run.require("train-method")
    method = new_method(run, load_initial=False).for_inference()
    load_network(run.folder.weights("method"), method, run.dataset.classes)
    return method.eval().to(this_process().device).to(memory_format=torch.channels_last)


def new_affinity_net(run: Run, config: AffinityConfig, load_initial: bool = True) -> AffinityModel:
    """The recipe's affinity network with a fresh head."""
    torch.manual_seed(run.recipe.seed + 1)
    build = build_backbone if load_initial else bare_backbone
    net = build_affinity_net(config, build(config.backbone or run.recipe.backbone))
    if load_initial and config.initial == "method":
        net.backbone.load_state_dict(trained_method(run).backbone.state_dict())
    return net


def trained_affinity_net(run: Run, config: AffinityConfig) -> AffinityModel:
    """The trained affinity network, in evaluation mode on this process's device."""
    net = new_affinity_net(run, config, load_initial=False)
    load_network(run.folder.weights("affinity"), net, run.dataset.classes)
    return net.eval().to(this_process().device).to(memory_format=torch.channels_last)


def new_segmenter(run: Run) -> DeepLab:
    """The recipe's segmentation network with a fresh head."""
    torch.manual_seed(run.recipe.seed + 2)
    network = build_segmenter(run.recipe.segmenter, run.recipe.backbone, len(run.dataset.classes), load_initial=True)
    if run.recipe.segmenter.initial == "method":
        network.backbone.load_state_dict(trained_method(run).backbone.state_dict())
    return network


def trained_segmenter(run: Run) -> DeepLab:
    """The trained segmentation network, in evaluation mode on this process's device."""
    network = build_segmenter(run.recipe.segmenter, run.recipe.backbone, len(run.dataset.classes), load_initial=False)
    load_network(run.folder.weights("segmenter"), network, run.dataset.classes)
    return network.eval().to(this_process().device).to(memory_format=torch.channels_last)
