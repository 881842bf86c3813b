import pytest

from doctor.invented import dataset
from scoring.test_comparison_table import comparison, run
from tagmask.config.recipes import recipe_names
from tagmask.errors import TagmaskError
from tagmask.scoring.published import (
    images_of,
    images_of_paper,
    published,
    published_scores,
    reproduced,
    reproduction_table,
)


def test_every_published_recipe_has_its_scores():
    assert set(published_scores()) == {name for name in recipe_names() if name.startswith(("voc-", "coco-"))}


def test_a_recipe_of_no_paper_is_refused():
    with pytest.raises(TagmaskError, match="'folder-cpu' is no recipe of a paper"):
        published("folder-cpu")


@pytest.mark.parametrize(
    ("values", "lead", "verdict"),
    [
        ((0.60, 0.60, 0.60), 1.35, "higher than theirs"),
        ((0.55, 0.55, 0.55), -3.65, "lower than theirs"),
        ((0.55, 0.60, 0.65), 1.35, "within 95% of ours"),  # 4.303 * 5 / sqrt(3) = 12.4 points around 60
        ((0.60,), 1.35, "one run tells no deviation"),
    ],
)
def test_ours_stands_beside_theirs(values, lead, verdict):
    figures = comparison(a=[run("a", seed, 0.4, own=value) for seed, value in enumerate(values)])
    seed, network = reproduced(figures.recipes[0], published("voc-sipe"))
    assert (seed.score, seed.theirs, seed.verdict) == ("seed_own", 58.65, verdict)
    assert seed.lead == pytest.approx(lead)
    assert (network.score, network.ours, network.verdict) == ("prediction", None, "not scored")


def test_the_table_says_whose_numbers_are_whose():
    figures = comparison(a=[run("a", 0, 0.4, own=0.6)])
    theirs = published("voc-sipe")
    text = reproduction_table(reproduced(figures.recipes[0], theirs), theirs, (10582, 1449), (10582, 1449))
    assert "| mean IoU (%) | Chen et al., CVPR 2022 | ours | difference | |" in text
    assert "| seed, own background | 58.65 | 60.0 | +1.4 | one run tells no deviation |" in text
    assert "| segmentation network | 68.8 |  |  | not scored |" in text
    assert "other data" not in text


def test_the_table_says_where_ours_come_of_other_images():
    theirs = published("voc-sipe")
    text = reproduction_table([], theirs, (60, 1449), images_of_paper("voc-sipe"))
    assert text.endswith(
        "These are other data: our runs learned from 60 images and were scored on up to 1,449, theirs from 10,582 "
        "images and were scored on up to 1,449, so differences tell little."
    )


def test_images_for_training_are_those_with_a_tag():
    drawn = dataset(["cat"], [(0,), (), (0,)], [()])
    assert images_of(drawn, "train", "val") == (2, 1)
    assert images_of(drawn, "train", None) == (2, 0)


@pytest.mark.parametrize(("recipe", "images"), [("voc-psa", (10582, 1449)), ("coco-sipe", (82081, 40504))])
def test_papers_learn_from_images_with_a_tag_and_are_scored_on_all(recipe, images):
    assert images_of_paper(recipe) == images
