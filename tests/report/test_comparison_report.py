import numpy as np
import pytest

from report.pages import Page, assert_whole
from tagmask.config.recipes import load_recipe
from tagmask.data.datasets import open_dataset
from tagmask.data.images import write_mask
from tagmask.report.comparison_report import (
    ComparedImage,
    card,
    content,
    seed_mask,
    shown_runs,
    training_images,
    validation_images,
    write,
)
from tagmask.report.page import render
from tagmask.scoring.comparison import plan
from tagmask.scoring.comparison_figures import ComparisonFigures, RunFigures, collect, recipe_figures
from tagmask.system.storage import MapArchive, write_json, write_maps

TINY = ("data.num_train=4", "data.num_val=2", "data.size=48")
SETTINGS = ("data.num_train=4", "data.num_val=3", "data.size=48", "report.num_images=2")


@pytest.fixture
def compared(tmp_path):
    """Two recipes until the end, with invented results: the whole image is of the first tag."""
    found = plan(["toy", "toy-sipe"], None, tmp_path, 1, "prediction", SETTINGS)
    for run in found.runs:
        own = run.competitor.name == "toy-sipe"
        for record in found.dataset.split("train"):
            classes = [0] * own + [tag + 1 for tag in record.tags]
            maps = np.full((len(classes), 6, 6), 0.5, np.float32)
            maps[:own] = 0.75
            write_maps(run.folder.maps(record.id), MapArchive(np.array(classes, np.int16), maps, (48, 48)))
            write_mask(run.folder.mask(record.id), np.ones((48, 48), np.int32), None, 4)
        for record in found.dataset.split("val"):
            write_mask(run.folder.prediction(record.id), np.ones((48, 48), np.int32), None, 4)
        score = {"mean_iou": 0.25, "protocol": "on toy scenes.", "threshold": 0.375}
        truth = run.competitor.truth
        write_json(run.folder.scores, {k: score | {"truth": truth[k]} for k in ("seed_best", "mask", "prediction")})
        for stage in ("train-method", "make-maps", "make-masks", "predict"):
            run.folder.note(stage, done=True, seconds=3.0, peak_memory=100)
    return found


def test_the_page_shows_the_same_images_of_every_recipe(compared):
    text = write(compared, collect(compared, {})).read_text()
    page = assert_whole(text)
    captions = page.captions
    assert captions.count("photograph") == captions.count("ground truth") == 2 + 2
    for name in ("toy", "toy-sipe"):
        for kind in ("seed", "pseudo mask", "prediction"):
            assert captions.count(f"{name}: {kind}") == 2
    for words in ("2 recipes on toy scenes", "Points more than toy", "backbone.model", "tagmask compare toy toy-sipe"):
        assert words in page.text
    assert 'class="best">25.0' not in text  # equal scores: none is best


def test_examples_are_spread_over_the_list(compared):
    runs = shown_runs(compared, collect(compared, {}))
    tagged = [record.id for record in compared.dataset.split("train") if record.tags]
    assert [image.id for image in training_images(runs)] == [tagged[0], tagged[-1]]
    validation = [record.id for record in compared.dataset.split("val")]
    assert [image.id for image in validation_images(runs)] == [validation[0], validation[-1]]


def test_seeds_use_the_own_background_or_the_best_threshold(compared):
    runs = shown_runs(compared, collect(compared, {}))
    record = next(record for record in compared.dataset.split("train") if record.tags)
    value = min(record.tags) + 1
    image = training_images(runs)[0]
    assert np.unique(image.masks["seed"]["toy"]).tolist() == [value]  # 0.5 exceeds the best threshold, 0.375
    assert np.unique(image.masks["seed"]["toy-sipe"]).tolist() == [0]  # but not the own background, 0.75
    assert np.unique(seed_mask(runs["toy"], record, (48, 48), threshold=0.6)).tolist() == [0]


def test_recipes_without_results_are_left_out_of_the_images(compared):
    compared.runs[1].folder.scores.unlink()
    page = write(compared, collect(compared, {compared.runs[1].folder.path: "out of luck"})).read_text()
    assert "toy-sipe (0 of 1 runs)" in page
    assert "out of luck" in page
    captions = Page(page).captions
    assert "toy: seed" in captions
    assert not any(caption.startswith("toy-sipe") for caption in captions)


def test_nothing_finished_makes_a_page_without_images(compared):
    for run in compared.runs:
        run.folder.scores.unlink()
    page = write(compared, collect(compared, {})).read_text()
    assert "<img" not in page
    assert "<h2>Training images</h2>" not in page
    assert "toy/seed-0 is missing" in page


def comparison(name="a & b <c>"):
    def run(at, iou):
        return RunFigures(
            seed=at, folder=f"x/seed-{at}", finished=True, scores={"mask": iou}, seconds={"predict": 30.0}, memory=512.0
        )

    base, better = [run(0, 0.4), run(1, 0.5)], [run(0, 0.5), run(1, 0.7)]
    return ComparisonFigures(
        command="tagmask compare",
        data="cats",
        goal="mask",
        seeds=[0, 1],
        recipes=[recipe_figures("base", "base", "cam", base, base), recipe_figures(name, name, "cam", better, base)],
        settings={"training.steps": {"base": 4, name: None}},
        warnings=["The recipes do not share training.steps."],
        environment={"python": "3"},
    )


def written(figures):
    return content(figures, open_dataset(load_recipe("toy", TINY).data, None), [], [])


def test_the_best_is_marked_and_deviations_stand_beside_means():
    shown = written(comparison("better"))
    base, better = shown.results.rows
    assert (base.cells[0].text, base.cells[0].small, base.cells[0].is_best) == ("45.0", " ± 7.1", False)
    assert (better.cells[0].text, better.cells[0].small, better.cells[0].is_best) == ("60.0", " ± 14.1", True)
    assert [(row.name, row.cells[0].text) for row in shown.gains.rows] == [("better", "+15.0 (-48.5 to +78.5)")]
    assert shown.notes == ["The recipes do not share training.steps."]


def test_settings_stand_side_by_side():
    table = written(comparison("better")).settings
    assert [(row.name, [cell.text for cell in row.cells]) for row in table.rows] == [
        ("method", ["cam", "cam"]),
        ("training.steps", ["4", "none"]),
    ]


def test_times_are_given_for_each_stage_and_for_all():
    table = written(comparison("better")).times
    assert list(table.head) == ["recipe", "predict", "all stages"]
    assert [cell.text for cell in table.rows[0].cells] == ["30 s", "30 s"]


def test_no_name_breaks_the_page():
    page = render(written(comparison()))
    assert "a &amp; b &lt;c&gt;" in page
    assert "<c>" not in page


def test_masks_lie_below_each_other_in_the_column_of_their_recipe():
    mask = np.ones((8, 8), np.int32)
    masks = {"seed": {"base": mask, "b": mask}, "pseudo mask": {"b": mask}}
    image = ComparedImage("1", (), np.zeros((8, 8, 3), np.uint8), None, masks)
    shown = card(image, ["base", "b", "without any"])
    captions = [picture.caption if picture else "" for picture in shown.pictures]
    assert shown.columns == 4
    assert captions == ["photograph", "", "base: seed", "b: seed", "", "", "", "b: pseudo mask"]
