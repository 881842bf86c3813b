import pytest
from pydantic import ValidationError

from tagmask.config import CocoData, FolderData, Role, VocData, settings_of
from tagmask.config.data import DataConfig


@pytest.mark.parametrize("kind", [FolderData, VocData, CocoData])
def test_bands_are_three_numbers_and_belong_to_what_is_learned(kind):
    assert kind().bands is None
    config = kind.model_validate({"bands": [3, 1, 0]})
    assert config.bands == (3, 1, 0)
    assert settings_of(config, None)["bands"] == [3, 1, 0]
    for wrong in ([0, 1], [0, 1, 2, 3], "rgb", 1, [0, 1, -1]):
        with pytest.raises(ValidationError):
            kind.model_validate({"bands": wrong})


@pytest.mark.parametrize("kind", [FolderData, VocData, CocoData])
def test_a_share_is_less_than_all(kind):
    assert kind().val_fraction == 0.1
    for wrong in (-0.1, 1):
        with pytest.raises(ValidationError):
            kind.model_validate({"val_fraction": wrong})


def test_difficult_objects_count_as_tags_as_published():
    assert VocData().difficult == "tag"
    with pytest.raises(ValidationError):
        VocData.model_validate({"difficult": "perhaps"})


@pytest.mark.parametrize("kind", [FolderData, VocData])
def test_masks_are_for_scoring_alone(kind):
    assert "masks" in settings_of(kind(), Role.SCORING)
    assert "masks" not in settings_of(kind(), None)


def test_all_data_share_their_settings():
    assert set(DataConfig.model_fields) <= set(CocoData.model_fields)
