import json

import pytest
from pydantic import TypeAdapter, ValidationError

from tagmask.config import AnyData, CocoData, DataConfig, FolderData, Role, TarData, ToyData, VocData, settings_of

KINDS = [FolderData, TarData, VocData, CocoData, ToyData]
ADAPTER = TypeAdapter(AnyData)


@pytest.mark.parametrize("config", KINDS)
def test_the_kind_tells_the_data_sets_apart(config):
    assert ADAPTER.validate_python({"kind": config().kind}) == config()
    assert ADAPTER.validate_json(config(max_images=3).model_dump_json()) == config(max_images=3)


def test_an_unknown_kind_is_told_with_those_that_are_known():
    with pytest.raises(ValidationError, match="'folder', 'tar', 'voc', 'coco', 'toy'"):
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


def test_colours_are_six_digits_and_written_small():
    assert FolderData(mask_colours={"#FF00aa": "cat"}).mask_colours == {"#ff00aa": "cat"}
    for colour in ("red", "#f00", "ff0000"):
        with pytest.raises(ValidationError, match="mask_colours"):
            FolderData(mask_colours={colour: "cat"})


def test_settings_of_masks_survive_json_and_change_no_training():
    data = FolderData(masks="masks", mask_values={255: 1}, mask_colours={"#ff0000": "cat"}, score_ids="ids.txt")
    assert FolderData.model_validate(json.loads(json.dumps(data.model_dump(mode="json")))) == data
    assert settings_of(data, None) == settings_of(FolderData(), None)
    assert settings_of(data, Role.SCORING)["mask_values"] == {"255": 1}


@pytest.mark.parametrize(
    "changes", [{"exif": "as_stored"}, {"join_case": True}, {"not_classes": ("background",)}, {"uncertain": "negative"}]
)
def test_settings_of_images_and_tags_make_another_run(changes: dict[str, object]):
    assert settings_of(FolderData(**changes), None) != settings_of(FolderData(), None)


@pytest.mark.parametrize("kind", [FolderData, TarData, VocData, CocoData])
def test_bands_are_three_numbers_and_belong_to_what_is_learned(kind):
    assert kind().bands is None
    config = kind.model_validate({"bands": [3, 1, 0]})
    assert config.bands == (3, 1, 0)
    assert settings_of(config, None)["bands"] == [3, 1, 0]
    for wrong in ([0, 1], [0, 1, 2, 3], "rgb", 1, [0, 1, -1]):
        with pytest.raises(ValidationError):
            kind.model_validate({"bands": wrong})


@pytest.mark.parametrize("kind", [FolderData, TarData, VocData, CocoData])
def test_a_share_is_less_than_all(kind):
    assert kind().val_fraction == 0.1
    for wrong in (-0.1, 1):
        with pytest.raises(ValidationError):
            kind.model_validate({"val_fraction": wrong})


def test_difficult_objects_count_as_tags_as_published():
    assert VocData().difficult == "tag"
    with pytest.raises(ValidationError):
        VocData.model_validate({"difficult": "perhaps"})


@pytest.mark.parametrize("kind", [FolderData, TarData, VocData])
def test_masks_are_for_scoring_alone(kind):
    assert "masks" in settings_of(kind(), Role.SCORING)
    assert "masks" not in settings_of(kind(), None)


def test_all_data_share_their_settings():
    assert set(DataConfig.model_fields) <= set(CocoData.model_fields)


def test_numbers_are_stretched_by_percentiles_or_between_fixed_ones():
    assert FolderData(stretch=[2, 98]).stretch == (2, 98)
    assert FolderData(stretch_values=[0, 3000]).stretch_values == (0, 3000)
    three = ((0, 1), (0, 2), (0, 3))
    assert ADAPTER.validate_json(FolderData(stretch_values=three).model_dump_json()).stretch_values == three


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"stretch": (98, 2)}, "percentiles that rise, from 0 to 100"),
        ({"stretch": (0, 101)}, "percentiles that rise"),
        ({"stretch_values": (5, 5)}, r"must rise from black to white, got \[5.0, 5.0\]"),
        ({"stretch_values": ((0, 1), (0, 1), (2, 1))}, "must rise"),
        ({"stretch": (2, 98), "stretch_values": (0, 1)}, "exclude each other"),
    ],
)
def test_stretches_that_cannot_be_are_refused(settings, words):
    with pytest.raises(ValidationError, match=words):
        FolderData(**settings)
