from typing import Annotated

import pytest
from pydantic import ValidationError

from tagmask.config import Config, Role, settings_of


class Seat(Config):
    row: int = 1
    heated: Annotated[bool, Role.EXECUTION] = False


class Meal(Config):
    course: str = "soup"
    napkin: Annotated[str, Role.EXECUTION] = "red"


class Train(Config):
    to: str
    seat: Seat = Seat()
    meal: Annotated[Meal | None, Role.SCORING] = None
    stops: tuple[str, ...] = ()
    speed: Annotated[int, Role.EXECUTION] = 200


class Screen(Config):
    light: Annotated[int, Role.EXECUTION] = 3


class Cab(Config):
    screen: Screen = Screen()
    driver: str = "Ada"


def test_settings_without_a_role_identify_a_run_at_any_depth():
    assert settings_of(Train(to="Rome", seat=Seat(row=4)), None) == {"to": "Rome", "seat": {"row": 4}, "stops": []}


def test_the_settings_of_a_role_are_nested_as_they_lie():
    train = Train(to="Rome", speed=80, seat=Seat(heated=True))
    assert settings_of(train, Role.EXECUTION) == {"speed": 80, "seat": {"heated": True}}


@pytest.mark.parametrize(("meal", "expected"), [(None, None), (Meal(course="pie"), {"course": "pie", "napkin": "red"})])
def test_the_role_of_a_block_holds_for_all_that_is_in_it(meal, expected):
    train = Train(to="Rome", meal=meal)
    assert settings_of(train, Role.SCORING) == {"meal": expected}
    assert "meal" not in settings_of(train, None)
    assert "meal" not in settings_of(train, Role.EXECUTION)


def test_a_block_without_a_setting_of_the_role_is_left_out_but_marks_a_run_even_if_empty():
    assert settings_of(Cab(), Role.SCORING) == {}
    assert settings_of(Cab(), Role.EXECUTION) == {"screen": {"light": 3}}
    assert settings_of(Cab(), None) == {"screen": {}, "driver": "Ada"}


def test_every_setting_belongs_to_exactly_one_role():
    train = Train(to="Rome", meal=Meal())
    parts = [settings_of(train, role) for role in (None, *Role)]
    whole: dict = {}
    for part in parts:
        for name, value in part.items():
            both = isinstance(whole.get(name), dict) and isinstance(value, dict)
            assert both or name not in whole
            whole[name] = {**whole[name], **value} if both else value
    assert whole == train.model_dump(mode="json")


def test_values_are_those_of_json():
    assert settings_of(Train(to="Rome", stops=("Pisa", "Siena")), None)["stops"] == ["Pisa", "Siena"]


def test_settings_do_not_change():
    with pytest.raises(ValidationError, match="frozen"):
        Seat().row = 2


def test_a_key_that_nobody_knows_is_refused():
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        Seat(colour="red")
