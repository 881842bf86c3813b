"""The page in a real browser: what a person paints is what the store holds."""

import re
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

from tagmask.conventions import IGNORE
from tagmask.reviewing.images import RunImages
from tagmask.reviewing.regions import SPACINGS, superpixels
from tagmask.reviews.store import Review

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
AIR, ABOVE, LARGEST = 10, 62, 40  # of view.js: where the page puts an image at first


class Served:
    """`tagmask review` in a process of its own."""

    def __init__(self, folder):
        command = [sys.executable, "-m", "tagmask", "review", folder, "--port", "0", "--no-browser"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert self.process.stdout is not None
        first = next(line for line in self.process.stdout if "http://" in line)
        self.address = re.search(r"http://127\.0\.0\.1:\d+/\S+", first).group()

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        said, _ = self.process.communicate(timeout=60)
        assert self.process.returncode == 130, said
        assert "Traceback" not in said


@pytest.fixture
def serve():
    started = []

    def start(folder):
        started.append(Served(folder))
        return started[-1]

    yield start
    for served in started:
        served.process.kill()
        served.process.communicate()


class Screen:
    """One image on the canvas of the page."""

    def __init__(self, page, size):
        box = page.locator("#canvas").bounding_box()
        width, height = box["width"] - 2 * AIR, box["height"] - AIR - ABOVE
        self.page, self.scale = page, min(width / size[1], height / size[0], LARGEST)
        self.left = box["x"] + AIR + (width - self.scale * size[1]) / 2
        self.top = box["y"] + ABOVE + (height - self.scale * size[0]) / 2

    def at(self, row, column):
        return self.left + self.scale * (column + 0.5), self.top + self.scale * (row + 0.5)

    def drag(self, start, end):
        self.page.mouse.move(*self.at(*start))
        self.page.mouse.down()
        self.page.mouse.move(*self.at(*end), steps=7)
        self.page.mouse.up()

    def press(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)


@pytest.fixture
def new_page():
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: the group `browser`")
    if BROWSER is None:
        pytest.skip("no Chromium or Chrome on this machine")
    said = []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        windows = browser.new_context(viewport={"width": 1400, "height": 900})

        def opened(address):
            page = windows.new_page()
            page.on("console", lambda message: said.append(message.text))
            page.on("pageerror", lambda error: said.append(str(error)))
            page.goto(address)
            page.wait_for_selector("#labels li")
            return page

        yield opened
        browser.close()
    assert [text for text in said if "net::ERR" not in text] == []  # said where a test breaks the connection


def choose(page, place):
    page.locator(f"#strip [data-place='{place}']").click()
    page.wait_for_selector("#stage:not(.waiting)")


def saved(page):
    page.wait_for_selector("#saved[data-state=good]")


@pytest.mark.slow
def test_what_is_painted_in_a_browser_is_what_is_stored(run_copy, new_page, serve):
    images, classes = RunImages(run_copy), run_copy.dataset.classes
    rejected, painted = images.records[:2]
    size, expected = images.size(painted), images.pseudo_mask(painted).copy()

    served = serve(run_copy.folder.path)
    page = new_page(served.address)
    choose(page, 1)
    screen = Screen(page, size)
    page.locator("#size").fill("0")
    screen.press("b", "2")
    screen.drag((10, 5), (10, 20))  # a brush of one pixel
    expected[10, 5:21] = 2
    screen.press("e")
    screen.drag((10, 8), (10, 12))  # the eraser
    expected[10, 8:13] = 0
    screen.press("n")
    screen.drag((12, 5), (14, 5))  # no label
    expected[12:15, 5] = IGNORE
    screen.press("1")
    screen.drag((30, 30), (40, 40))  # and what is undone
    screen.press("Control+z")
    saved(page)
    served.stop()
    assert np.array_equal(run_copy.reviews.mask(painted.id, size), expected)

    served = serve(run_copy.folder.path)
    page = new_page(served.address)
    page.locator("#go-on").uncheck()
    choose(page, 1)
    screen = Screen(page, size)
    screen.press("3", "s", "]")
    page.wait_for_timeout(1500)  # the regions arrive
    regions = superpixels(images.image(painted), SPACINGS["coarse"])
    for row, column in ((20, 20), (40, 10)):
        page.mouse.click(*screen.at(row, column))
        expected[regions == regions[row, column]] = 3
    screen.press("2")
    page.mouse.click(*screen.at(5, 40))
    screen.press("z", "y", "z")
    name = classes[2]
    had = 2 in painted.tags
    page.locator(f"#labels [aria-label='tag {name}']").click()
    saved(page)
    choose(page, 0)
    screen.press("r")
    saved(page)
    page.wait_for_selector("#stamp[data-decision=rejected]")
    served.stop()

    tags = set(painted.tags) ^ {2}
    assert (2 in tags) is not had
    found = run_copy.reviews.all([record.id for record in images.records])
    assert found == {
        rejected.id: Review(decision="rejected"),
        painted.id: Review(decision="corrected", tags=tuple(classes[tag] for tag in sorted(tags))),
    }
    assert np.array_equal(run_copy.reviews.mask(painted.id, size), expected)
    assert not run_copy.reviews.mask_path(rejected.id).exists()


@pytest.mark.slow
def test_nothing_is_lost_with_the_connection(run_copy, new_page, serve):
    images = RunImages(run_copy)
    record = images.records[0]
    size, expected = images.size(record), images.pseudo_mask(record).copy()
    served = serve(run_copy.folder.path)
    page = new_page(served.address)
    choose(page, 0)
    page.route("**/review", lambda route: route.abort() if route.request.method == "PUT" else route.continue_())
    screen = Screen(page, size)
    page.locator("#size").fill("0")
    screen.press("b", "1")
    screen.drag((3, 3), (3, 9))
    expected[3, 3:10] = 1
    page.wait_for_selector("#saved[data-state=bad]")
    assert run_copy.reviews.is_empty
    page.close()

    page = new_page(served.address)  # which sends what the other could not
    saved(page)
    page.close()
    served.stop()
    assert np.array_equal(run_copy.reviews.mask(record.id, size), expected)


@pytest.mark.slow
def test_the_later_of_two_windows_wins_and_is_told(run_copy, new_page, serve):
    record = RunImages(run_copy).records[0]
    served = serve(run_copy.folder.path)
    first, second = new_page(served.address), new_page(served.address)
    for page in (first, second):
        page.locator("#go-on").uncheck()
        choose(page, 0)
    first.keyboard.press("r")
    saved(first)
    second.keyboard.press("a")
    saved(second)
    assert "had been changed in another window" in second.locator("#notice").inner_text()
    first.evaluate("window.dispatchEvent(new Event('focus'))")
    first.wait_for_selector("#stamp[data-decision=accepted]")
    served.stop()
    assert run_copy.reviews.review(record.id) == Review(decision="accepted")
