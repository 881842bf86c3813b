from scoring.test_comparison_table import TWO, comparison, run, with_classes
from tagmask.scoring.comparison_latex import escaped, latex


def test_nothing_in_a_name_means_anything_to_latex():
    assert escaped(r"50% of a_b & {c} \ ~^#$") == (
        r"50\% of a\_b \& \{c\} \textbackslash{} \textasciitilde{}\textasciicircum{}\#\$"
    )


def test_scores_stand_with_their_deviation_and_the_best_is_bold():
    rows = [line for line in latex(TWO).splitlines() if line.startswith(("a ", "b "))]
    assert rows[0] == r"a &  & 45.0 $\pm$ 7.1 & 60 $\pm$ 0 & 1.00 $\pm$ 0.00 \\"
    assert rows[1] == r"b & 60.0 $\pm$ 0.0 & \textbf{56.0 $\pm$ 8.5} & 60 $\pm$ 0 & 1.00 $\pm$ 0.00 \\"
    assert rows[2] == r"b & +11.0 (-1.7 to +23.7) \\"


def test_every_table_has_as_many_columns_as_cells():
    text = latex(comparison(a=[with_classes(0, 0.5, 0.7)], b=[run("b", 0, 0.5)]))
    parts = text.split(r"\begin{tabular}")[1:]
    assert len(parts) == 4  # scores, gains, two of classes
    for part in parts:
        columns = len(part.split("}")[0].strip("{"))
        assert {line.count("&") + 1 for line in part.splitlines() if line.endswith(r"\\")} == {columns}
