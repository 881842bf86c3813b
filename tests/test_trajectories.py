"""No training changes unnoticed: the first steps of each are those that are stored."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import get_args

import pytest
import torch

from tagmask.affinity import AFFINITY_NETS
from tagmask.config import SegmenterConfig, WrapperConfig
from tagmask.config.kinds import kind_of
from tagmask.methods import METHODS, WRAPPERS
from trajectories import CASES, FOLDER, Case, Trajectory, differences, walk

LARGEST = 100_000  # bytes of all files
MADE = {"command", "commit", "python", "torch", "processor", "seed"}


def stored(name: str) -> Trajectory:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", CASES)
def test_a_training_begins_as_it_always_has(name: str) -> None:
    wrong = differences(walk(CASES[name]), stored(name))
    advice = f"A training has changed. If it is meant to: tests/golden/make.py {name}, which says what that means."
    assert not wrong, "\n".join([advice, *wrong])


def test_every_kind_of_training_has_a_trajectory() -> None:
    kinds = {case.settings.kind for case in CASES.values()}
    kinds |= {case.settings.base.kind for case in CASES.values() if isinstance(case.settings, WrapperConfig)}
    assert {kind_of(config) for config in (*METHODS, *WRAPPERS, *AFFINITY_NETS)} <= kinds
    assert set(get_args(SegmenterConfig.model_fields["kind"].annotation)) <= kinds


def test_every_file_belongs_to_a_training_and_says_how_it_was_made() -> None:
    files = sorted(FOLDER.iterdir())
    assert {path.name for path in files} == {f"{name}.json" for name in CASES}
    assert sum(path.stat().st_size for path in files) < LARGEST
    assert all(stored(name)["made"].keys() == MADE for name in CASES)


# ── whether a change is noticed ──────────────────────────────────────────────────────────────────────────────────────


def trained(**settings: float | str) -> Callable[[Case], Case]:
    """A case with a training of other settings."""
    return lambda case: replace(case, training=case.training.model_copy(update=settings))


def of_network(**settings: object) -> Callable[[Case], Case]:
    """A case with a network of other settings."""
    return lambda case: replace(case, settings=case.settings.model_copy(update=settings))


def of_equivariance(**settings: float) -> Callable[[Case], Case]:
    """A case of SEAM with other settings of the equivariance."""
    return lambda case: of_network(equivariance=case.settings.equivariance.model_copy(update=settings))(case)


CHANGES = {
    "rate": ("cam", trained(rate=0.0505)),
    "momentum": ("cam", trained(momentum=0.000505)),
    "weight decay": ("cam", trained(weight_decay=0.0101)),
    "rate of new layers": ("cam", trained(head_factor=10.1)),
    "rate of biases": ("cam", trained(bias_factor=2.02)),
    "power of the schedule": ("cam", trained(power=0.909)),
    "norm of gradients": ("sipe", trained(clip_norm=1.01)),
    "rate of displacements": ("irn", of_network(displacement_factor=10.1)),
    "average": ("deeplab_v3plus", trained(average=0.202)),
    "dice": ("semantic_fpn", of_network(dice_weight=0.505)),
    "tags": ("deeplab_v3plus", of_network(tag_weight=0.505)),
    "equivariance": ("seam", of_equivariance(consistency_weight=1.01)),
    "equivariant cross": ("seam", of_equivariance(cross_weight=1.01)),
    "min-pool": ("seam", of_equivariance(min_pool_weight=1.01)),
    "saliency": ("eps", of_network(saliency_weight=1.01)),
    "general-specific consistency": ("sipe", of_network(consistency_weight=1.01)),
    "cross-prototype": ("cam-ppc", of_network(cross_prototype_weight=0.101)),
    "cross-CAM": ("cam-ppc", of_network(cross_cam_weight=0.101)),
    "intra-view": ("cam-ppc", of_network(intra_view_weight=0.101)),
    "temperature": ("cam-ppc", of_network(temperature=0.101)),
}


@pytest.mark.parametrize("what", CHANGES)
def test_one_per_cent_is_noticed(what: str) -> None:
    name, change = CHANGES[what]
    assert differences(walk(change(CASES[name])), stored(name))


def test_another_order_of_random_draws_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(*size: object, rand: Callable[..., torch.Tensor] = torch.rand) -> torch.Tensor:
        rand(1)
        return rand(*size)

    monkeypatch.setattr(torch, "rand", late)
    assert differences(walk(CASES["cam"]), stored("cam"))


def test_a_name_that_is_missing_or_new_is_told() -> None:
    known: Trajectory = {"losses": {"tags": [1.0]}, "changes": {"a": [[1.0, 0.0]]}, "unchanged": ["b"]}
    assert differences(known, known) == []
    other = known | {"losses": {"dice": [1.0]}, "unchanged": []}
    assert differences(other, known) == [
        "loss: dice is new",
        "loss: tags is missing",
        "tensor that does not change: b is missing",
    ]
    assert differences(known | {"losses": {"tags": [1.01]}}, known) == ["loss tags, step 1: 1.01, not 1"]
