import json

import pytest

from tagmask.errors import TagmaskError
from tagmask.exchange.formats import fiftyone


def test_the_targets_name_every_number(parcel):
    assert fiftyone.write(parcel) == []
    targets = json.loads((parcel.folder / "mask_targets.json").read_text())
    assert targets == {"0": "background", "1": "cat", "2": "big dog", "255": "unlabelled"}
    assert sorted(path.name for path in (parcel.folder / "labels").iterdir()) == ["a__1.png", "b_2.png", "c.png"]


def test_targets_of_another_form_are_refused(parcel):
    fiftyone.write(parcel)
    (parcel.folder / "mask_targets.json").write_text('["background"]')
    with pytest.raises(TagmaskError, match="does not hold what it should"):
        fiftyone.read(parcel.folder, ("cat", "big dog"))
