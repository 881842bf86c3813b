from xml.etree import ElementTree

import pytest


def test_a_cost_of_each_call_does_not_hide_the_exponent_of_the_rest(script):
    points = [(x, 100 + x**2) for x in (1, 2, 4, 8, 400, 800, 1600, 3200)]
    assert script("growth_fit").exponent(points) == pytest.approx(2.0, abs=0.01)


def test_what_does_not_grow_has_the_exponent_0(script):
    assert script("growth_fit").exponent([(3, 5.0), (10, 5.0), (30, 5.0)]) == pytest.approx(0.0, abs=1e-9)


def test_what_is_not_positive_is_left_out(script):
    assert script("growth_fit").exponent([(1, 0.0), (2, 4.0), (4, 16.0)]) == pytest.approx(2.0)


def test_a_plot_is_an_svg_with_points_where_they_belong(script):
    fit = script("growth_fit")
    tree = ElementTree.fromstring(fit.plot("seconds", {"a < b": [(1, 0.1), (10, 1.0), (100, 10.0)]}, "images"))
    space = "{http://www.w3.org/2000/svg}"
    dots = [(float(dot.get("cx")), float(dot.get("cy"))) for dot in tree.iter(f"{space}circle")]
    right, base = fit.WIDTH - fit.LEGEND, fit.HEIGHT - fit.BOTTOM
    assert dots[0] == (fit.LEFT, base)
    assert dots[1] == pytest.approx(((fit.LEFT + right) / 2, (fit.TOP + base) / 2), abs=0.1)
    assert dots[2] == (right, fit.TOP)
    assert "a < b: exponent 1.00" in [text.text for text in tree.iter(f"{space}text")]


def test_nothing_to_plot_is_refused(script):
    with pytest.raises(ValueError, match="no positive number"):
        script("growth_fit").plot("seconds", {"a": [(1, 0.0)]}, "images")
