"""A network on its way to the Hub and back, on a stand-in that listens on this machine."""

import json
import os
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
from PIL import Image

import tagmask
from hub_server import hub
from tagmask.errors import TagmaskError
from tagmask.export.hub import push
from tagmask.export.product import export_run
from tagmask.inference.hub import failures

PROGRAM = """
import json, sys
import numpy as np
from PIL import Image
import tagmask
from tagmask.cli import main
sys.argv = ["tagmask", "push", {run!r}, "me/animals"]
main()
"""


def call(server, cache: Path, program: str) -> subprocess.CompletedProcess[str]:
    """A process of its own: huggingface_hub reads where the Hub is when it is imported."""
    surroundings = os.environ | {"HF_ENDPOINT": server.address, "HF_HOME": str(cache), "HF_TOKEN": "hf_secret",
                                 "PYTHONPATH": str(Path(tagmask.__file__).parents[1])}  # fmt: skip
    surroundings |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    return subprocess.run(
        [sys.executable, "-c", program], env=surroundings, capture_output=True, text=True, check=False
    )


FETCH = """
import json
import tagmask
for address in {addresses!r}:
    try:
        print(json.dumps(tagmask.load(address, "cpu")({image!r}).tolist()))
    except tagmask.TagmaskError as error:
        print("error:", error)
"""


@pytest.mark.slow
def test_what_was_pushed_is_loaded_by_its_commit(tiny_run, tmp_path):
    image = tmp_path / "new.png"
    Image.fromarray(tiny_run.dataset.read_image(tiny_run.validation_records[0])).save(image)
    with hub() as server:
        done = call(server, tmp_path / "cache", PROGRAM.format(run=str(tiny_run.folder.path)))
        assert done.returncode == 0, done.stderr
        (commit,) = server.repositories["me/animals"]
        address = f"hf://me/animals@{commit}"
        assert f"pushed: {address}" in done.stdout
        files = server.repositories["me/animals"][commit]
        assert set(files) == {"segmenter.safetensors", "settings.json", "classes.json", "README.md"}
        addresses = [address, "hf://me/animals", "hf://me/dragons"]
        told = call(server, tmp_path / "other", FETCH.format(addresses=addresses, image=str(image)))
    expected = tagmask.load(tiny_run.folder.path, "cpu")(image)
    loaded, newest, missing = told.stdout.splitlines()
    assert np.array_equal(json.loads(loaded), expected), told.stderr
    assert newest == loaded
    assert missing.startswith("error: hf://me/dragons cannot be fetched: ")


@pytest.mark.parametrize("name", ["animals", "me/animals/more", "me/../..", "me/an imals", ""])
def test_a_name_that_is_none_is_refused(tmp_path, name):
    with pytest.raises(TagmaskError, match="is no address of the Hub"):
        push(tmp_path, name)


def test_a_push_names_no_revision(tmp_path):
    with pytest.raises(TagmaskError, match="a push makes a revision and takes none"):
        push(tmp_path, "me/animals@v1")


def test_a_graph_is_no_bundle(tiny_run, tmp_path):
    export_run(tiny_run.folder.path, tmp_path / "bundle")
    (tmp_path / "bundle" / "segmenter.safetensors").unlink()
    with pytest.raises(TagmaskError, match=r"has no segmenter\.safetensors; the Hub takes bundles"):
        push(tmp_path / "bundle", "me/animals")


def test_a_hub_that_cannot_be_reached_is_told(tiny_run, tmp_path, monkeypatch):
    of_client, _ = failures()

    def unreachable(*arguments, **options):
        raise of_client("no route to host")

    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", unreachable)
    export_run(tiny_run.folder.path, tmp_path / "bundle")
    with pytest.raises(TagmaskError, match=r"me/animals: the Hub cannot be reached: no route to host; nothing was"):
        push(tmp_path / "bundle", "me/animals")
