"""The arithmetic of the page, run by Node.js where it is installed: painting, filling, undoing, choosing, zooming."""

import json
import shutil
import subprocess

import numpy as np
import pytest

from tagmask.masks.overlays import class_colors
from tagmask.reviewing import server
from tagmask.reviewing.packing import pack, unpack

NODE = shutil.which("node")

pytestmark = pytest.mark.skipif(NODE is None, reason="Node.js is not installed")

GRID = """
const grid = (rows, columns) => ({ rows, columns, values: new Uint16Array(rows * columns) });
const shown = ({ rows, columns, values }) => (
  Array.from({ length: rows }, (_, row) => values.slice(row * columns, (row + 1) * columns).join('')));
"""


@pytest.fixture
def run(tmp_path):
    """What an expression of the page's functions is, after some statements."""
    for path in server.PAGE.values():
        shutil.copy(path, tmp_path)
    (tmp_path / "package.json").write_text('{"type": "module"}')

    def evaluate(module, names, statements, expression):
        lines = (
            f"import {{ {names} }} from './{module}.js';",
            GRID,
            statements,
            f"console.log(JSON.stringify({expression}));",
        )
        (tmp_path / "call.js").write_text("\n".join(lines))
        done = subprocess.run([NODE, tmp_path / "call.js"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return evaluate


def test_a_brush_paints_the_pixels_whose_centres_it_covers(run):
    line = "const g = grid(5, 8); const box = paintLine(g, { x: 2.5, y: 2.5 }, { x: 5.5, y: 2.5 }, 1, 3);"
    assert run("labels", "paintLine", line, "shown(g)") == ["00000000", "00333300", "03333330", "00333300", "00000000"]
    assert run("labels", "paintLine", line, "box") == {"left": 1, "top": 1, "right": 7, "bottom": 4}


def test_the_smallest_brush_paints_single_pixels_also_across(run):
    line = "const g = grid(3, 3); paintLine(g, { x: 0.5, y: 0.5 }, { x: 2.5, y: 2.5 }, 0.5, 1);"
    assert run("labels", "paintLine", line, "shown(g)") == ["100", "010", "001"]


def test_a_brush_beyond_the_image_paints_nothing_there(run):
    line = "const g = grid(2, 3); paintLine(g, { x: -5, y: -5 }, { x: -2, y: 0.5 }, 2.6, 1);"
    assert run("labels", "paintLine", line, "shown(g)") == ["100", "000"]


def test_a_polygon_holds_the_pixels_whose_centres_lie_inside(run):
    points = "[{ x: 1, y: 1 }, { x: 5, y: 1 }, { x: 5, y: 4 }, { x: 1, y: 4 }]"
    fill = f"const g = grid(5, 6); fillPolygon(g, {points}, 2);"
    assert run("labels", "fillPolygon", fill, "shown(g)") == ["000000", "022220", "022220", "022220", "000000"]
    triangle = "const g = grid(4, 4); fillPolygon(g, [{ x: 0, y: 0 }, { x: 4, y: 0 }, { x: 0, y: 4 }], 1);"
    assert run("labels", "fillPolygon", triangle, "shown(g)") == ["1110", "1100", "1000", "0000"]
    beyond = (
        "const g = grid(2, 2); fillPolygon(g, [{ x: -9, y: -9 }, { x: 9, y: -9 }, { x: 9, y: 9 }, { x: -9, y: 9 }], 1);"
    )
    assert run("labels", "fillPolygon", beyond, "shown(g)") == ["11", "11"]


def test_two_polygons_side_by_side_share_no_pixel_and_leave_none(run):
    both = """const g = grid(6, 6);
    const [a, b, c, d] = [{ x: 0, y: 0 }, { x: 6, y: 0.5 }, { x: 6, y: 6 }, { x: 0.5, y: 6 }];
    const one = grid(6, 6), two = grid(6, 6), all = grid(6, 6);
    fillPolygon(one, [a, b, c], 1); fillPolygon(two, [a, c, d], 1); fillPolygon(all, [a, b, c, d], 1);
    const sum = [...one.values].map((value, at) => value + two.values[at]);"""
    assert run("labels", "fillPolygon", both, "sum.join() === all.values.join()")


def test_a_region_is_filled_whole(run):
    fill = """const g = grid(2, 4), r = grid(2, 4);
    r.values.set([1, 1, 2, 2, 1, 2, 2, 1]);
    const box = fillRegion(g, r, 2, 7);"""
    assert run("labels", "fillRegion", fill, "[shown(g), box]") == [
        ["0077", "0770"],
        {"left": 1, "top": 0, "right": 4, "bottom": 2},
    ]
    assert run("labels", "fillRegion", "const g = grid(1, 1), r = grid(1, 1);", "fillRegion(g, r, 5, 7)") is None


def test_a_difference_is_put_back_and_again(run):
    steps = """const g = grid(3, 3); const before = g.values.slice();
    paintLine(g, { x: 1.5, y: 1.5 }, { x: 2.5, y: 1.5 }, 0.5, 4);
    const found = difference(before, g, wholeBox(g)); const painted = shown(g);
    put(g, found.places, found.before); const undone = shown(g);
    put(g, found.places, found.after);"""
    names = "difference, paintLine, put, wholeBox"
    assert run("labels", names, steps, "[[...found.places], painted, undone, shown(g)]") == [
        [4, 5],
        ["000", "044", "000"],
        ["000", "000", "000"],
        ["000", "044", "000"],
    ]
    assert run("labels", names, "const g = grid(2, 2);", "difference(g.values.slice(), g, wholeBox(g))") is None


def test_masks_are_packed_as_the_server_packs_them(run):
    mask = np.array([[0, 1, 300], [-1, 65534, 7]], np.int32)
    sent = list(pack(mask))
    again = f"const bytes = Uint8Array.from({sent}); const g = unpack(bytes.buffer);"
    found = run("labels", "pack, unpack", again, "[g.rows, g.columns, [...pack(g)], [...g.values]]")
    assert found[:3] == [2, 3, sent]
    assert found[3] == [0, 1, 300, 65535, 65534, 7]
    assert np.array_equal(unpack(bytes(found[2]), (2, 3)), mask)


def test_classes_are_drawn_in_their_colours_with_edges(run):
    colors = class_colors(np.arange(3)).tolist()
    draw = f"""const g = grid(3, 5); g.values.fill(2); g.values[0] = 65535; g.values[4] = 0;
    const pixels = new Uint32Array(15);
    colour(g, pixels, wholeBox(g), paintsOf({json.dumps(colors)}, new Set(), 100, true));
    const bytes = [...new Uint8Array(pixels.buffer)];
    const at = (row, column) => bytes.slice(4 * (5 * row + column), 4 * (5 * row + column) + 4);"""
    names = "colour, paintsOf, wholeBox"
    assert run("labels", names, draw, "[at(2, 2), at(0, 1), at(0, 4), at(0, 0)]") == [
        [*colors[2], 100],
        [*colors[2], 255],
        [0, 0, 0, 0],
        [240, 240, 240, 200],
    ]
    hidden = draw.replace("new Set()", "new Set([2, 65535])")
    assert run("labels", names, hidden, "bytes.every((value) => value === 0)")


def test_history_goes_back_and_forth_without_end(run):
    steps = """const h = new History();
    for (let i = 0; i < 1000; i++) h.add(i);
    const back = Array.from({ length: 1001 }, () => h.undo());
    const again = [h.redo(), h.redo()];
    h.add('new');"""
    found = run(
        "history", "History", steps, "[back[0], back[999], back[1000], again, h.redo(), h.undo(), h.undo(), h.canUndo]"
    )
    assert found == [999, 0, None, [0, 1], None, "new", 1, True]


def test_zooming_leaves_the_point_below_the_pointer_where_it_is(run):
    zoom = """const view = fitted({ rows: 100, columns: 200 }, { width: 420, height: 272 });
    const at = { x: 120, y: 90 }; const point = toImage(view, at);
    const after = toScreen(zoomed(view, 3, at, 0.1), point);"""
    names = "fitted, toImage, toScreen, zoomed"
    view, after = run("view", names, zoom, "[view, after]")
    assert view == {"scale": 2, "x": 10, "y": 62}
    assert after == pytest.approx({"x": 120, "y": 90})


def test_two_fingers_move_and_zoom(run):
    pinch = """const view = { scale: 1, x: 0, y: 0 };
    const two = (a, b) => [{ x: a, y: 10 }, { x: b, y: 10 }];
    const found = pinched(view, two(10, 20), two(30, 50), 0.1);"""
    assert run("view", "pinched", pinch, "found") == {"scale": 2, "x": 10, "y": -10}


IMAGES = """const images = [
  { id: 'b', given: ['cat'], tags: null, decision: null },
  { id: 'a', given: ['cat', 'dog'], tags: ['dog'], decision: 'accepted' },
  { id: 'c', given: [], tags: null, decision: 'rejected' },
  { id: 'd', given: ['dog'], tags: null, decision: null }];"""


def test_images_are_ordered_and_chosen(run):
    names = "belongs, chosen, inOrder, nextUndecided, beside"
    assert run("choosing", names, IMAGES, "inOrder(images, [3, 1, 0, 2], 'name')") == [1, 0, 2, 3]
    assert run("choosing", names, IMAGES, "inOrder(images, [3, 1, 0, 2], 'random')") == [3, 1, 0, 2]
    assert run("choosing", names, IMAGES, "chosen(images, [3, 1, 0, 2], 'undecided', '')") == [3, 0]
    assert run("choosing", names, IMAGES, "chosen(images, [0, 1, 2, 3], 'all', 'cat')") == [0]  # by the corrected tags
    assert run("choosing", names, IMAGES, "chosen(images, [0, 1, 2, 3], 'retagged', '')") == [1]
    assert run("choosing", names, IMAGES, "[0, 3, null].map((from) => nextUndecided(images, [0, 1, 2, 3], from))") == [
        3,
        0,
        0,
    ]
    assert run("choosing", names, IMAGES, "nextUndecided(images, [1, 2], 1)") is None
    assert run("choosing", names, IMAGES, "[beside([2, 0], 2, 1), beside([2, 0], 0, 1), beside([2, 0], 9, 1)]") == [
        0,
        None,
        2,
    ]


def test_tags_that_are_as_given_are_no_correction(run):
    toggle = f"{IMAGES} const classes = ['cat', 'dog'];"
    assert run("choosing", "toggled", toggle, "toggled(images[0], 'dog', classes)") == ["cat", "dog"]
    assert run("choosing", "toggled", toggle, "toggled(images[1], 'cat', classes)") is None
    assert run("choosing", "toggled", toggle, "toggled(images[0], 'cat', classes)") == []


def test_of_ten_thousand_images_few_are_on_the_page(run):
    assert run("strip", "inSight", "", "[inSight(0, 1000, 100, 10000), inSight(500000, 1000, 100, 10000)]") == [
        [0, 14],
        [4996, 5014],
    ]


def test_every_key_has_one_command_and_every_command_is_one_of_the_page(run):
    keys = run("keys", "KEYS", "", "KEYS")
    names = [key for each in keys for key in each["keys"]]
    assert len(names) == len(set(names))
    page = server.PAGE["app.js"].read_text() + server.PAGE["commands.js"].read_text()
    for each in keys:
        assert f"  {each['command']}(" in page or f"{each['command']}: () =>" in page, each["command"]
    events = "[{ key: 'Z', ctrlKey: true, shiftKey: true }, { key: '?', shiftKey: true }, { key: ' ' }, { key: 'B' }]"
    assert run("keys", "commandOf, pressed", "", f"{events}.map(pressed).map(commandOf)") == [
        "redo",
        "help",
        "dab",
        "brush",
    ]
