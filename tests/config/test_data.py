import pytest
from pydantic import TypeAdapter, ValidationError

from tagmask.config import AnyData, CocoData, DataConfig, FolderData, Role, ToyData, VocData, settings_of

KINDS = [FolderData, VocData, CocoData, ToyData]
ADAPTER = TypeAdapter(AnyData)


@pytest.mark.parametrize("config", KINDS)
def test_the_kind_tells_the_data_sets_apart(config):
    assert ADAPTER.validate_python({"kind": config().kind}) == config()
    assert ADAPTER.validate_json(config(max_images=3).model_dump_json()) == config(max_images=3)


def test_an_unknown_kind_is_told_with_those_that_are_known():
    with pytest.raises(ValidationError, match="'folder', 'voc', 'coco', 'toy'"):
        ADAPTER.validate_python({"kind": "imagenet"})


def test_a_setting_of_another_data_set_is_refused():
    with pytest.raises(ValidationError, match="year"):
        ADAPTER.validate_python({"kind": "voc", "year": 2014})


@pytest.mark.parametrize("config", KINDS)
def test_where_the_truth_lies_changes_scores_alone(config):
    given = config(score_ids="ids.txt")
    assert settings_of(given, Role.SCORING)["score_ids"] == "ids.txt"
    assert settings_of(given, None) == settings_of(config(), None)


@pytest.mark.parametrize("config", [FolderData, VocData])
def test_a_folder_of_masks_identifies_no_run(config):
    assert settings_of(config(masks="truth"), None) == settings_of(config(), None)


def test_a_run_may_have_no_validation_images():
    assert FolderData(val_split=None).val_split is None


@pytest.mark.parametrize(
    ("config", "wrong"),
    [
        (DataConfig, {"max_images": 0}),
        (DataConfig, {"on_bad_image": "ignore"}),
        (FolderData, {"val_fraction": 1.0}),
        (FolderData, {"val_fraction": -0.1}),
        (FolderData, {"ignore_value": -1}),
        (CocoData, {"year": 2015}),
        (ToyData, {"size": 47}),
        (ToyData, {"num_classes": 1}),
        (ToyData, {"num_classes": 7}),
        (ToyData, {"num_train": 0}),
        (ToyData, {"num_val": 0}),
        (ToyData, {"seed": -1}),
    ],
)
def test_settings_out_of_range_are_refused(config, wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        config(**wrong)
