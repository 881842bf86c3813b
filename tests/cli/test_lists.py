"""Recipes and methods as the command line lists them."""

import re

from tagmask.config.affinity import AFFINITY_KINDS
from tagmask.config.methods import METHOD_KINDS
from tagmask.config.recipes import recipe_names, recipe_text


def test_recipes_are_listed_and_shown(run):
    code, text = run("recipes")
    assert code == 0
    assert all(name in text for name in recipe_names())
    code, text = run("recipes", "toy")
    assert (code, text) == (0, recipe_text("toy"))  # as it is, to be piped into a file
    code, text = run("recipes", "toy+ppc")
    assert text == recipe_text("toy") + "# +ppc: all of `method` is the base of a method of kind ppc\n"


def test_methods_of_the_package_are_listed(run):
    code, text = run("methods")
    assert code == 0
    for kind in (*METHOD_KINDS.own, *AFFINITY_KINDS.own):
        assert re.search(rf"^{kind} +\S", text, re.MULTILINE), kind
