import json

import pytest
from pydantic import ValidationError

from tagmask.config import FolderData, Role, settings_of


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
