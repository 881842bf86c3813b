import pytest
from pydantic import ValidationError

from tagmask.config import AugmentConfig, Role, TrainingConfig, settings_of
from tagmask.config.recipes import load_recipe

AUGMENT = {"crop": 64}


def training(**settings) -> TrainingConfig:
    return TrainingConfig.model_validate({"rate": 0.1, "augment": AUGMENT, "steps": 10} | settings)


# ── how long ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_training_is_as_long_as_steps_or_epochs_say():
    assert training().steps == 10
    assert training(steps=None, epochs=0.5).epochs == 0.5


def test_both_lengths_are_refused_with_their_values():
    with pytest.raises(ValidationError, match=r"epochs=3\.0 and steps=200 are given; set exactly one of them"):
        training(steps=200, epochs=3)


def test_no_length_is_refused_in_the_words_of_yaml():
    with pytest.raises(ValidationError, match=r"epochs=null and steps=null are given.*the other to null"):
        training(steps=None)


# ── batches ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_passes_of_a_step_share_its_batch_evenly():
    assert training(batch_size=12, accumulation=4).accumulation == 4
    with pytest.raises(ValidationError, match="batch_size 10 must be a multiple of accumulation 4"):
        training(batch_size=10, accumulation=4)


# ── ranges ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 0},
        {"steps": None, "epochs": 0},
        {"batch_size": 0},
        {"accumulation": 0},
        {"rate": 0},
        {"head_factor": 0},
        {"bias_factor": 0},
        {"momentum": 1},
        {"momentum": -0.1},
        {"weight_decay": -1e-4},
        {"power": 0},
        {"rate_every": 0},
        {"warmup_steps": -1},
        {"clip_norm": 0},
        {"workers": -1},
        {"checkpoint_every": 0},
        {"log_every": 0},
        {"optimizer": "adam"},
        {"schedule": "linear"},
        {"precision": "fp16"},
        {"decay": "none"},
    ],
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValidationError, match=list(wrong)[-1]):
        training(**wrong)


@pytest.mark.parametrize("word", ["no", "bf16", "auto"])
@pytest.mark.parametrize("block", ["training", "affinity.training", "segmenter.training", "maps", "walk", "segmenter"])
def test_a_precision_is_set_by_its_word_though_yaml_knows_another_no(block, word):
    found = load_recipe("toy", [f"{block}.precision={word}"])
    for name in block.split("."):
        found = getattr(found, name)
    assert found.precision == word


def test_rate_and_crop_must_be_given():
    with pytest.raises(ValidationError, match="rate"):
        TrainingConfig(steps=1, augment=AUGMENT)
    with pytest.raises(ValidationError, match="crop"):
        training(augment={})


# ── views ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "pair"), [("long_side", (320, 256)), ("long_side", (0, 256)), ("scale", (1.5, 0.5)), ("scale", (-1, 1))]
)
def test_a_range_goes_from_low_to_high(name, pair):
    with pytest.raises(ValidationError, match=rf"{name} must be \[low, high\] with 0 < low <= high, got"):
        AugmentConfig(**AUGMENT, **{name: pair})


def test_a_range_may_be_one_size():
    assert AugmentConfig(**AUGMENT, long_side=(256, 256), scale=(0.7, 0.7)).long_side == (256, 256)


def test_a_factor_is_drawn_from_a_range_or_from_a_list():
    assert AugmentConfig(**AUGMENT, scale_choices=(0.5, 1.5)).scale_choices == (0.5, 1.5)
    with pytest.raises(ValidationError, match="scale and scale_choices are two ways to draw one factor"):
        AugmentConfig(**AUGMENT, scale=(0.5, 1.5), scale_choices=(0.5, 1.5))


@pytest.mark.parametrize(
    "jitter", [(1.1, 0, 0, 0), (0, 1.1, 0, 0), (0, 0, 1.1, 0), (0, 0, 0, 0.6), (-0.1, 0, 0, 0), (0, 0, 0, -0.1)]
)
def test_jitter_stays_within_what_colours_bear(jitter):
    with pytest.raises(ValidationError, match=r"jitter must be within \[1, 1, 1, 0.5\] and not negative, got"):
        AugmentConfig(**AUGMENT, jitter=jitter)


def test_the_limits_of_jitter_and_no_jitter_are_allowed():
    assert AugmentConfig(**AUGMENT, jitter=(1, 1, 1, 0.5)).jitter == (1, 1, 1, 0.5)
    assert AugmentConfig(**AUGMENT, jitter=(0, 0, 0, 0)).jitter == (0, 0, 0, 0)
    assert AugmentConfig(**AUGMENT, jitter=None).jitter is None


@pytest.mark.parametrize(
    "wrong",
    [{"crop": 0}, {"flip": 1.1}, {"flip": -0.1}, {"padding": "white"}, {"scale_choices": []}, {"scale_choices": [0.0]}],
)
def test_views_out_of_range_are_refused(wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        AugmentConfig(**AUGMENT | wrong)


# ── what identifies a training ───────────────────────────────────────────────────────────────────────────────────────


def test_bookkeeping_does_not_identify_a_training():
    other = training(
        workers=7, checkpoint_every=3, checkpoint_seconds=9, log_every=1, trackers=("wandb",), compile=True
    )
    assert settings_of(other, None) == settings_of(training(), None)
    assert settings_of(other, Role.EXECUTION) == {
        "workers": 7, "checkpoint_every": 3, "checkpoint_seconds": 9, "log_every": 1, "trackers": ["wandb"],
        "compile": True,
    }  # fmt: skip


@pytest.mark.parametrize("change", [{"rate": 0.2}, {"batch_size": 8}, {"augment": {"crop": 65}}, {"precision": "bf16"}])
def test_what_changes_weights_identifies_a_training(change):
    assert settings_of(training(**change), None) != settings_of(training(), None)
