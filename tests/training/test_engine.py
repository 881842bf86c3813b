import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from noise import CLASSES, Noise
from shared_runs import tiny_backbone
from tagmask.config import AugmentConfig, CamConfig, TrainingConfig
from tagmask.contracts import ParameterGroup, Trainable
from tagmask.errors import TagmaskError
from tagmask.methods.cam import Cam
from tagmask.system.processes import part_ways
from tagmask.training import engine
from tagmask.training.engine import (
    build_optimizer,
    num_steps,
    optimizer_groups,
    rate_at,
    set_rates,
)
from trainables import NETWORKS, step_batch


class Number(Trainable):
    """One number, and a loss of it: to train by hand."""

    def __init__(self, start, loss):
        super().__init__()
        self.number = nn.Parameter(torch.tensor(start))
        self.loss, self.calls = loss, 0

    def outputs(self, batch):
        return batch.images

    def losses_from(self, outputs, batch):
        self.calls += 1
        return {"fine": self.number * 0, "odd": self.loss(self.number, self.calls)}

    def parameter_groups(self):
        return [ParameterGroup([self.number], new=False, kind="weight")]


class StoppedError(Exception):
    pass


def config(**settings) -> TrainingConfig:
    standard = {"steps": 8, "batch_size": 4, "rate": 0.1, "workers": 0, "checkpoint_every": 2, "log_every": 1}
    return TrainingConfig(**{**standard, "augment": AugmentConfig(crop=16), **settings})


def tiny_cam(dropout: float = 0.5) -> Cam:
    return Cam(CamConfig(dropout=dropout), tiny_backbone(), CLASSES)


def stopping_cam(at: int) -> Cam:
    """Breaks off, as a crash would, in the given forward pass."""
    cam, calls = tiny_cam(), iter(range(1, 1000))

    def stop(*_):
        if next(calls) == at:
            raise StoppedError

    cam.register_forward_pre_hook(stop)
    return cam


def fit(folder: Path, network: Trainable | None = None, **settings) -> dict[str, torch.Tensor]:
    network = tiny_cam() if network is None else network
    engine.train(network, Noise(), config(**settings), seed=3, folder=folder, stage="method")
    return network.state_dict()


def log_steps(folder: Path, stage: str = "method") -> list[int]:
    entries = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [entry["step"] for entry in entries if entry["stage"] == stage]


def assert_same(ours, theirs, atol=0.0):
    assert ours.keys() == theirs.keys()
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=0, atol=atol)


# ── schedule ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_poly_follows_the_published_formula_and_stays_at_its_last_value():
    poly = config(schedule="poly", power=0.9)
    assert rate_at(0, 10, poly) == 1
    assert rate_at(5, 10, poly) == pytest.approx(0.5**0.9)
    assert rate_at(9, 10, poly) == rate_at(50, 10, poly) == pytest.approx(0.1**0.9)


def test_cosine_is_half_way_down_at_half_time():
    cosine = config(schedule="cosine")
    assert [rate_at(step, 4, cosine) for step in (0, 1, 2, 3)] == pytest.approx(
        [1, 0.5 + 0.5 * math.cos(math.pi / 4), 0.5, 0.5 - 0.5 * math.cos(math.pi / 4)]
    )


def test_constant_is_constant_after_a_linear_warm_up():
    constant = config(schedule="constant", warmup_steps=4)
    assert [rate_at(step, 10, constant) for step in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]


def test_a_warm_up_may_be_a_share_of_all_steps():
    share = config(schedule="constant", warmup_share=0.25)
    assert [rate_at(step, 16, share) for step in range(5)] == [0.25, 0.5, 0.75, 1, 1]
    assert rate_at(0, 8, share) == 0.5
    assert rate_at(0, 8, config(schedule="constant", warmup_share=0.25, warmup_steps=8)) == 1 / 8


def test_the_rate_of_a_schedule_may_change_every_few_steps():
    poly = config(schedule="poly", power=0.9, rate_every=10)
    expected = [1.0] * 10 + [(1 - 10 / 25) ** 0.9] * 10 + [(1 - 20 / 25) ** 0.9] * 5
    assert [rate_at(step, 25, poly) for step in range(25)] == pytest.approx(expected)
    warm = config(schedule="poly", power=1, rate_every=4, warmup_steps=2)
    assert [rate_at(step, 8, warm) for step in range(8)] == pytest.approx([0.5, 1, 1, 1, 0.5, 0.5, 0.5, 0.5])


@given(st.integers(1, 50), st.integers(0, 60), st.sampled_from(["poly", "cosine", "constant"]), st.integers(0, 60))
def test_rates_are_positive_and_never_above_the_recipes(total, step, schedule, warmup):
    assert 0 < rate_at(step, total, config(schedule=schedule, warmup_steps=warmup)) <= 1


def test_epochs_become_whole_batches_and_at_least_one():
    assert num_steps(config(steps=None, epochs=2.5), 10) == 6  # 25 images, 4 a batch
    assert num_steps(config(steps=None, epochs=1), 3) == 1
    assert num_steps(config(steps=7), 3) == 7


# ── optimiser ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("new", "kind", "rate", "decay"),
    [
        *[(False, "weight", 0.1, 0.01), (False, "bias", 0.2, 0), (False, "norm", 0.1, 0)],
        *[(True, "weight", 1.0, 0.01), (True, "bias", 2.0, 0), (True, "norm", 1.0, 0)],
    ],
)
def test_new_layers_and_biases_learn_faster_and_only_weights_decay(new, kind, rate, decay):
    groups = [ParameterGroup([nn.Parameter(torch.zeros(1))], new=new, kind=kind)]
    settings = config(rate=0.1, head_factor=10, bias_factor=2, weight_decay=0.01)
    (found,) = optimizer_groups(groups, settings)
    assert found["lr"] == pytest.approx(rate)
    assert found["weight_decay"] == decay
    (faster,) = optimizer_groups([replace(groups[0], rate_factor=3.0)], settings)
    assert faster["lr"] == pytest.approx(3 * rate)


@pytest.mark.parametrize("kind", ["weight", "bias", "norm"])
def test_everything_decays_where_the_recipe_says_so(kind):
    groups = [ParameterGroup([nn.Parameter(torch.zeros(1))], new=False, kind=kind)]
    (found,) = optimizer_groups(groups, config(weight_decay=0.01, decay="all"))
    assert found["weight_decay"] == 0.01


def test_empty_groups_are_left_out():
    assert optimizer_groups([ParameterGroup([], new=True, kind="bias")], config()) == []


def test_the_optimizer_gets_momentum_and_rates_are_set_as_factors():
    groups = tiny_cam().parameter_groups()
    sgd = build_optimizer(groups, config(momentum=0.8))
    assert {group["momentum"] for group in sgd.param_groups} == {0.8}
    adam = build_optimizer(groups, config(optimizer="adamw", momentum=0.8))
    assert {group["betas"] for group in adam.param_groups} == {(0.8, 0.999)}
    base = [group["lr"] for group in sgd.param_groups]
    set_rates(sgd, base, 0.5)
    assert [group["lr"] for group in sgd.param_groups] == [0.5 * rate for rate in base]


# ── steps ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_two_steps_by_hand(tmp_path):
    square = Number(1.0, lambda number, _: number**2)
    fit(tmp_path, square, steps=2, rate=0.1, momentum=0, weight_decay=0, schedule="poly", power=1)
    # 1 - 0.1 * 2 = 0.8, then at half the rate 0.8 - 0.05 * 1.6 = 0.72
    assert square.number.item() == pytest.approx(0.72)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["rate"] for line in lines] == pytest.approx([0.1, 0.05])
    assert [line["losses"]["odd"] for line in lines] == pytest.approx([1, 0.64])


def test_clipping_limits_the_step(tmp_path):
    steep = Number(1.0, lambda number, _: 1000 * number)
    fit(tmp_path, steep, steps=1, rate=0.1, weight_decay=0, clip_norm=0.5)
    assert steep.number.item() == pytest.approx(1 - 0.1 * 0.5)


def test_accumulated_parts_make_the_step_of_the_whole_batch(tmp_path):
    whole = fit(tmp_path / "whole", tiny_cam(0), steps=3, batch_size=16)
    parts = fit(tmp_path / "parts", tiny_cam(0), steps=3, batch_size=16, accumulation=2)
    assert_same(parts, whole, atol=1e-6)
    assert (whole["fc8.weight"] - tiny_cam(0).fc8.weight).abs().max() > 1e-3


def test_loader_processes_change_nothing(tmp_path):
    assert_same(fit(tmp_path / "two", steps=3, workers=2), fit(tmp_path / "none", steps=3))


def test_accumulated_parts_learn_in_half_precision_too(tmp_path):
    before = tiny_cam(0).state_dict()
    whole = fit(tmp_path / "whole", tiny_cam(0), steps=3, batch_size=16, precision="bf16")
    parts = fit(tmp_path / "parts", tiny_cam(0), steps=3, batch_size=16, accumulation=2, precision="bf16")
    for name, value in whole.items():
        step = (value - before[name]).norm()
        assert (parts[name] - value).norm() <= 0.05 * step, name


def test_depthwise_convolutions_learn_by_quick_ways_and_are_left_as_they_were(tmp_path, monkeypatch):
    seen, network = [], tiny_cam(0)
    quick = engine.quick_depthwise
    monkeypatch.setattr(engine, "quick_depthwise", lambda given: seen.append(given) or quick(given))
    fit(tmp_path, network, steps=1)
    assert seen == [network]
    assert not any("forward" in vars(layer) for layer in network.modules())


def test_bf16_trains_close_to_float32(tmp_path):
    half = fit(tmp_path / "half", tiny_cam(0), steps=3, precision="bf16")
    full = fit(tmp_path / "full", tiny_cam(0), steps=3)
    assert {tensor.dtype for tensor in half.values()} == {torch.float32}
    assert_same(half, full, atol=1e-2)
    assert any((half[name] != full[name]).any() for name in full)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_step_has_finite_losses_and_gradients_in_bf16(name):
    build, stride = NETWORKS[name]
    torch.manual_seed(1)
    network = build().train()
    with torch.autocast("cpu", torch.bfloat16):
        losses = network.losses(step_batch(stride))
    torch.stack(list(losses.values())).sum().backward()
    assert all(value.isfinite() for value in losses.values())
    assert all(weight.grad.isfinite().all() for weight in network.parameters() if weight.grad is not None)


def test_training_starts_in_training_mode_and_ends_in_evaluation_mode(tmp_path):
    modes = []
    network = tiny_cam()
    network.register_forward_pre_hook(lambda module, _: modes.append(module.training))
    fit(tmp_path, network.eval(), steps=2)
    assert modes == [True, True]
    assert not network.training


def test_a_batch_that_cannot_be_shared_is_refused(tmp_path):
    with pytest.raises(ValueError, match="multiple of accumulation 3"):
        config(batch_size=4, accumulation=3)


# ── what can go wrong ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_broken_loss_is_named_and_the_checkpoint_kept(tmp_path, value):
    network = Number(1.0, lambda number, call: number * (value if call == 4 else 1))
    with pytest.raises(TagmaskError, match=rf"method: the loss `odd` became {value} at step 4"):
        fit(tmp_path, network)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["method-00000002.pt"]


@pytest.mark.parametrize("steps", [2, 4])
def test_a_weight_broken_by_a_finite_loss_is_no_result(tmp_path, steps):
    network = Number(0.0, lambda number, call: number.sqrt() if call == 2 else 0 * number)  # infinite slope at 0
    with pytest.raises(TagmaskError, match="weight became NaN or infinite at step 2"):
        fit(tmp_path, network, steps=steps, log_every=100, checkpoint_every=2)
    assert not (tmp_path / "checkpoints").exists()


# ── resuming ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return fit(tmp_path_factory.mktemp("uninterrupted"))


@pytest.mark.parametrize("at", [1, 2, 3, 6, 8])
@pytest.mark.parametrize("workers", [0, 1])
def test_stopped_and_resumed_equals_never_stopped(tmp_path, uninterrupted, at, workers):
    with pytest.raises(StoppedError):
        fit(tmp_path, stopping_cam(at))
    assert_same(fit(tmp_path, workers=workers), uninterrupted)
    assert log_steps(tmp_path) == list(range(1, 9))


def test_resuming_adam_restores_its_moments(tmp_path):
    settings = {"optimizer": "adamw", "rate": 0.01, "schedule": "cosine", "accumulation": 2}
    with pytest.raises(StoppedError):
        fit(tmp_path / "stopped", stopping_cam(12), **settings)
    assert_same(fit(tmp_path / "stopped", **settings), fit(tmp_path / "whole", **settings))


def test_averaged_weights_outlive_an_interruption(tmp_path):
    settings = {"average": 0.7, "sampling": "balanced"}
    with pytest.raises(StoppedError):
        fit(tmp_path / "stopped", stopping_cam(6), **settings)
    whole = fit(tmp_path / "whole", **settings)
    assert_same(fit(tmp_path / "stopped", **settings), whole)
    last = fit(tmp_path / "last", sampling="balanced")
    assert any(not torch.equal(whole[name], last[name]) for name in whole)


def test_the_steps_in_all_are_told_before_the_first_one_and_after_an_interruption(tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(Cam, "prepare_training", lambda _, steps: told.append(steps))
    with pytest.raises(StoppedError):
        fit(tmp_path, stopping_cam(6))
    fit(tmp_path)
    assert told == [8, 8]


def test_a_damaged_checkpoint_is_passed_over(tmp_path, uninterrupted):
    with pytest.raises(StoppedError):
        fit(tmp_path, stopping_cam(6))
    newest = tmp_path / "checkpoints" / "method-00000004.pt"
    newest.write_bytes(newest.read_bytes()[:-200])
    assert_same(fit(tmp_path), uninterrupted)


def test_the_log_loses_repeated_steps_and_half_lines_of_its_stage_alone(tmp_path):
    with pytest.raises(StoppedError):
        fit(tmp_path, stopping_cam(6))
    assert log_steps(tmp_path) == [1, 2, 3, 4, 5]
    with (tmp_path / "log.jsonl").open("a") as log:
        log.write('{"stage": "affinity", "step": 7, "losses": {}}\n{"stage": "method", "st')
    fit(tmp_path)
    assert log_steps(tmp_path) == list(range(1, 9))
    assert log_steps(tmp_path, "affinity") == [7]


# ── interruption ─────────────────────────────────────────────────────────────────────────────────────────────────────


class InterruptingNoise(Noise):
    """Noise that is interrupted when a certain image is asked for, as Ctrl-C would."""

    def __init__(self, at):
        self.left = at

    def sample(self, seed, epoch, index):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
        return super().sample(seed, epoch, index)


def test_an_interrupted_training_keeps_its_last_whole_step_and_goes_on_from_there(tmp_path):
    rare = config(checkpoint_every=1000)
    with pytest.raises(KeyboardInterrupt):
        engine.train(tiny_cam(), InterruptingNoise(15), rare, seed=3, folder=tmp_path, stage="method")
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["method-00000003.pt"]
    assert_same(fit(tmp_path, checkpoint_every=1000), fit(tmp_path / "whole"))
    assert log_steps(tmp_path) == list(range(1, 9))


def test_checkpoints_are_written_by_time_as_well(tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(engine.checkpoints, "save_checkpoint", lambda *arguments: saved.append(arguments[2]))
    fit(tmp_path / "seldom", checkpoint_every=1000)
    assert saved == []
    fit(tmp_path / "often", checkpoint_every=1000, checkpoint_seconds=1e-9)
    assert saved == list(range(1, 8))


def test_the_environment_of_a_launcher_does_not_change_the_precision(tmp_path, monkeypatch):
    expected = fit(tmp_path / "plain", steps=2)
    AcceleratorState._reset_state(reset_partial_state=True)
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    assert_same(fit(tmp_path / "launched", steps=2), expected)
    AcceleratorState._reset_state(reset_partial_state=True)


# ── several processes ────────────────────────────────────────────────────────────────────────────────────────────────


def test_two_processes_train_like_one(tmp_path):
    script = "import sys, test_engine; test_engine.train_in_a_process(sys.argv[1])"
    (tmp_path / "train.py").write_text(script)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    here = Path(__file__).parent
    environment = {
        **os.environ,
        "PYTHONPATH": f"{here}{os.pathsep}{here.parent}",
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
    }
    arguments = [str(tmp_path / "train.py"), str(tmp_path)]
    done = subprocess.run(
        [*command, *arguments], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    alone = fit(tmp_path / "one", tiny_cam(0), steps=3)
    for accumulation in (1, 2):
        first, second = (torch.load(tmp_path / f"{rank}-{accumulation}.pt") for rank in (0, 1))
        assert_same(first, second)
        assert_same(first, alone, atol=1e-5)
        assert log_steps(tmp_path / str(accumulation)) == [1, 2, 3]  # by the first process alone


def train_in_a_process(folder: str) -> None:
    """What each process of the test above does."""
    for accumulation in (1, 2):
        weights = fit(Path(folder) / str(accumulation), tiny_cam(0), steps=3, accumulation=accumulation)
        torch.save(weights, Path(folder) / f"{os.environ['RANK']}-{accumulation}.pt")
    part_ways()
