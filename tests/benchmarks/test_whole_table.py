import pytest

PARTS = [
    {"stage": "begin", "part": "images", "unit": "image", "units": 10, "seconds": 0.1, "waiting_seconds": 0.0},
    {
        "stage": "maps",
        "part": "a",
        "unit": "step",
        "units": 4,
        "seconds": 3.0,
        "bare_seconds": 2.0,
        "waiting_seconds": 0.5,
    },
    {"stage": "maps", "part": "b", "unit": "image", "units": 8, "seconds": 1.0, "waiting_seconds": 0.25},
]


def test_parts_count_as_often_as_the_whole_run_has_them(script):
    begin, maps = script("whole_table").totals(PARTS, {"maps": 700.0})
    assert (begin.seconds, begin.bare, begin.ratio, begin.memory) == (1.0, 0, None, None)
    assert (maps.seconds, maps.bare, maps.waiting, maps.memory) == (20.0, 8.0, 4.0, 700.0)
    assert maps.ratio == 2.5


def test_the_whole_run_is_all_its_stages_with_the_largest_memory(script):
    table = script("whole_table")
    whole = table.whole(table.totals(PARTS, {"begin": 300.0, "maps": 700.0}))
    assert (whole.seconds, whole.bare, whole.waiting, whole.memory) == (21.0, 8.0, 4.0, 700.0)
    assert whole.ratio == pytest.approx(2.625)


def test_the_table_tells_seconds_of_an_image_and_leaves_out_what_is_not(script):
    table = script("whole_table")
    lines = table.table(table.totals(PARTS, {"maps": 700.0}), images=10).splitlines()
    assert lines[2:] == [
        "| begin | 0.1 |  |  |  |  |",
        "| maps | 2 | 0.8 | 2.50 | 20 % | 700 MiB |",
        "| whole run | 2.1 | 0.8 | 2.62 | 19 % | 700 MiB |",
    ]
    assert len({line.count("|") for line in lines}) == 1


def test_a_part_is_told_in_a_line(script):
    line = script("whole_table").part_line(PARTS[1] | {"times_bare": 1.5})
    assert " ".join(line.split()) == "maps: a 3.0000 s a step bare 2.0000 s ratio 1.50 waiting 17%"


def test_what_is_no_network_has_no_ratio(script):
    assert "ratio" not in script("whole_table").part_line(PARTS[0])


def test_text_between_markers_is_replaced_and_nothing_else(script):
    page = "a\n<!-- x:begin -->\nold\n<!-- x:end -->\nb <!-- y:begin -->"
    found = script("whole_table").between_markers(page, "x", "new")
    assert found == "a\n<!-- x:begin -->\nnew\n<!-- x:end -->\nb <!-- y:begin -->"


def test_a_page_without_markers_is_refused(script):
    with pytest.raises(ValueError, match="x:begin"):
        script("whole_table").between_markers("<!-- x:begin -->", "x", "new")
