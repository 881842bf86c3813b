"""Which levels are read where none are named."""

import pytest

from tagmask.contracts import Level
from tagmask.errors import TagmaskError
from tagmask.networks.levels import chosen_levels, fine_levels, is_plain, main_levels, spread_levels

RESNET50 = [Level(64, 2), Level(256, 4), Level(512, 8), Level(1024, 16), Level(2048, 16)]
RESNET38D = [Level(256, 4), Level(512, 8), Level(1024, 8), Level(4096, 8)]
MOBILENET = [Level(16, 2), Level(24, 4), Level(32, 8), Level(96, 16), Level(320, 16), Level(1280, 16)]
CONVNEXT = [Level(96, 4), Level(192, 8), Level(384, 16), Level(768, 16)]
TRANSFORMER = [Level(384, 14)] * 13
FAMILIES = [RESNET50, RESNET38D, MOBILENET, CONVNEXT, TRANSFORMER]


@pytest.mark.parametrize("levels", FAMILIES)
def test_stages_of_a_pyramid_are_its_levels_and_those_of_a_transformer_four_parts(levels):
    expected = (2, 5, 8, 12) if levels is TRANSFORMER else tuple(range(len(levels)))
    assert main_levels(levels) == expected
    assert is_plain(levels) == (levels is TRANSFORMER)


@pytest.mark.parametrize("number", range(1, 26))
def test_parts_of_a_transformer_ascend_to_its_deepest_level(number):
    found = main_levels([Level(8, 16)] * number)
    assert list(found) == sorted(set(found))
    assert len(found) == min(number, 4)
    assert found[-1] == number - 1


@pytest.mark.parametrize(
    ("levels", "three", "four"),
    [
        (RESNET50, (2, 3, 4), (1, 2, 3, 4)),  # those of AffinityNet and of SIPE, as published
        (RESNET38D, (1, 2, 3), (0, 1, 2, 3)),
        (MOBILENET, (2, 3, 5), (1, 2, 3, 5)),
        (CONVNEXT, (1, 2, 3), (0, 1, 2, 3)),
        (TRANSFORMER, (2, 5, 12), (2, 5, 8, 12)),
    ],
)
def test_levels_are_spread_from_shallow_to_deep(levels, three, four):
    assert spread_levels(levels, 3, finest=8) == three
    assert spread_levels(levels, 4, finest=4) == four


def test_finer_levels_stand_in_where_coarse_ones_are_few():
    assert spread_levels(CONVNEXT, 3, finest=16) == (1, 2, 3)
    assert spread_levels(CONVNEXT[-2:], 3, finest=4) == (0, 1)


def test_named_levels_are_counted_from_the_finest():
    assert chosen_levels("affinity.levels", [0, -1, -3], CONVNEXT) == (0, 3, 1)


@pytest.mark.parametrize("chosen", [[0, 4], [-5, 1]])
def test_levels_that_a_backbone_lacks_are_refused_with_those_it_has(chosen):
    with pytest.raises(
        TagmaskError, match=r"method\.levels is \[.*has 4 levels; choose from 0 to 3 \(of strides 4, 8, 16"
    ):
        chosen_levels("method.levels", chosen, CONVNEXT)


@pytest.mark.parametrize(
    ("levels", "expected"),
    [(RESNET50, (1, 2, 3, 4)), (RESNET38D, (0, 1, 3)), (MOBILENET, (1, 2, 3, 5)), (CONVNEXT, (0, 1, 2, 3)),
     (TRANSFORMER, (2, 12))],
)  # fmt: skip
def test_fine_levels_are_the_first_of_each_stride_and_the_last(levels, expected):
    assert fine_levels(levels, 4) == expected
    assert fine_levels(MOBILENET, 8) == (2, 3, 5)
    assert fine_levels(MOBILENET, 32) == (5,)
