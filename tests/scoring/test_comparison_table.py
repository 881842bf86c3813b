import csv

from tagmask.scoring import comparison_table as table
from tagmask.scoring.comparison_figures import ComparisonFigures, RunFigures, recipe_figures
from tagmask.scoring.spreads import Spread

PROTOCOL = "seed on cats train, all 4 images; background threshold {}, chosen on these very masks; tags given."


def run(name, seed, best, own=None, finished=True):
    scores = {"seed_best": best} | ({} if own is None else {"seed_own": own})
    return RunFigures(
        seed=seed,
        folder=f"{name}/seed-{seed}",
        finished=finished,
        error=None if finished else "the disk is full\nfree some",
        scores=scores if finished else {},
        protocols={"seed_best": PROTOCOL.format(0.3 + seed / 10)} if finished else {},
        seconds={"train-method": 60.0} if finished else {},
        memory=1024.0 if finished else None,
    )


def comparison(**recipes):
    first = next(iter(recipes.values()))
    return ComparisonFigures(
        command="tagmask compare a b --out x",
        data="cats",
        goal="seed",
        seeds=[each.seed for each in first],
        recipes=[recipe_figures(name, name, "cam", runs, first) for name, runs in recipes.items()],
        settings={},
        warnings=["The recipes do not share data.size."],
        environment={"python": "3"},
    )


TWO = comparison(
    a=[run("a", 0, 0.4), run("a", 1, 0.5)],
    b=[run("b", 0, 0.5, own=0.6), run("b", 1, 0.62, own=0.6)],
)


def lines(text):
    return [line for line in text.splitlines() if line.startswith("|")]


def test_a_line_for_each_recipe_with_mean_and_deviation():
    head, _, first, second = lines(table.main_table(TWO))
    assert head == ("| recipe | seed, own background (%) | seed, best threshold (%) | time (s) | peak memory (GiB) |")
    assert first == "| a |  | 45.0 ± 7.1 | 60 ± 0 | 1.00 ± 0.00 |"
    assert second == "| b | 60.0 ± 0.0 | **56.0 ± 8.5** | 60 ± 0 | 1.00 ± 0.00 |"


def test_one_seed_has_no_deviation():
    text = table.markdown(comparison(a=[run("a", 0, 0.4)], b=[run("b", 0, 0.5)]))
    assert "±" not in text
    assert "one run has no deviation" in text
    assert "| b | +10.0 |" in text


def test_gains_are_signed_points():
    assert "| b | +11.0 (-1.7 to +23.7) |" in table.gains_table(TWO)  # of 10 and 12: 12.706 * sqrt(2) / sqrt(2) around
    assert "95 %, by a paired t-test" in table.gains_table(TWO)
    assert table.gains_table(comparison(a=[run("a", 0, 0.4)])) == ""


def test_no_gain_is_no_negative_zero():
    assert table.shown_gain(Spread(count=1, mean=-0.0001, deviation=None)) == "+0.0"


def test_equal_recipes_have_no_best():
    same = comparison(a=[run("a", 0, 0.4)], b=[run("b", 0, 0.4004)])
    assert "**" not in table.main_table(same)


def with_classes(seed, mask, prediction):
    scores = {"mask": {"background": 0.9, "cat": mask}, "walk": {"cat": 0.1}, "prediction": {"cat": prediction}}
    return run("a", seed, 0.4).model_copy(update={"classes": scores})


def test_classes_of_the_last_masks_and_of_the_networks_have_a_table_each():
    figures = comparison(
        a=[with_classes(0, 0.5, 0.7), with_classes(1, 0.6, 0.7)], b=[run("b", 0, 0.5), run("b", 1, 0.5)]
    )
    masks, networks = table.class_tables(figures)
    assert masks.startswith("Pseudo masks, IoU of each class (%):")
    assert lines(masks) == [
        "| class | a | b |",
        "| --- | --: | --: |",
        "| background | 90.0 ± 0.0 |  |",
        "| cat | 55.0 ± 7.1 |  |",
    ]
    assert lines(networks)[-1] == "| cat | 70.0 ± 0.0 |  |"
    assert table.class_tables(TWO) == []


def test_classes_are_a_line_each_for_programs():
    text = table.class_csv(comparison(a=[with_classes(3, 0.5, 0.7)]))
    assert text.splitlines()[0] == "recipe,seed,score,class,iou"
    assert "a,3,mask,cat,0.5" in text.splitlines()
    assert len(text.splitlines()) == 1 + 4


def test_missing_runs_are_told():
    text = table.markdown(comparison(a=[run("a", 0, 0.4), run("a", 1, 0.5, finished=False)]))
    assert "| a (1 of 2 runs) | 40.0 |" in text
    assert "a/seed-1 is missing: the disk is full" in text
    assert "The recipes do not share data.size." in text


def test_thresholds_of_single_runs_are_left_out_of_the_protocol():
    assert table.protocols(TWO) == {
        "seed_best": "seed on cats train, all 4 images; background threshold chosen run by run on these very masks; "
        "tags given."
    }


def test_long_times_are_minutes():
    slow = run("a", 0, 0.4).model_copy(update={"seconds": {"train-method": 900.0, "make-maps": 45.0}})
    assert "| 15.8 |" in table.main_table(comparison(a=[slow]))


def test_nothing_finished_makes_an_empty_table():
    text = table.markdown(comparison(a=[run("a", 0, 0.4, finished=False)]))
    assert "| a (0 of 1 runs) |" in text


def test_files_hold_all_runs(tmp_path):
    table.write_tables(tmp_path, TWO)
    rows = list(csv.DictReader((tmp_path / "comparison.csv").read_text().splitlines()))
    assert [(row["recipe"], row["seed"], row["seed_best"], row["seed_own"]) for row in rows] == [
        ("a", "0", "0.4", ""),
        ("a", "1", "0.5", ""),
        ("b", "0", "0.5", "0.6"),
        ("b", "1", "0.62", "0.6"),
    ]
    page = (tmp_path / "comparison.md").read_text()
    assert "tagmask compare a b --out x" in page
    assert "- Data: cats" in page
    assert table.markdown(TWO) in page
