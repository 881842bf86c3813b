"""The script of an export: alone, without tagmask and torch, it finds the masks that tagmask finds."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import tagmask
from exports import written_run
from shared_runs import SIZE
from tagmask.export.product import export_run
from tagmask.export.script import script

# A fresh interpreter runs this before anything else: importing what is refused is an error.
REFUSAL = """
import sys
class Refusal:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {names}:
            raise ImportError(f"refused: {{name}}")
sys.meta_path.insert(0, Refusal())
"""


def run_alone(folder, *arguments, refused=("torch", "tagmask")):
    """Run ``predict.py`` where packages may not be imported."""
    guard = folder.parent / f"guard-{folder.name}"
    guard.mkdir(exist_ok=True)
    (guard / "sitecustomize.py").write_text(REFUSAL.format(names=list(refused)))
    return subprocess.run(
        [sys.executable, folder / "predict.py", *arguments],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(guard)},
        capture_output=True,
        text=True,
        check=False,
    )


def pictures(folder, scenes):
    """Photographs as people have them: larger than those of training, turned by EXIF, transparent, tiny."""
    pixels = scenes.read_image(scenes.records[0])
    image, large = Image.fromarray(pixels), Image.fromarray(pixels).resize((95, 71))
    turned = Image.Exif()
    turned[0x0112] = 6
    image.crop((0, 0, 39, 27)).save(folder / "plain.png")
    large.save(folder / "turned.jpg", exif=turned, quality=95)
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    image.save(folder / "transparent.png")
    large.resize((3, 2)).save(folder / "tiny.png")
    return [folder / name for name in ("plain.png", "turned.jpg", "transparent.png", "tiny.png")]


def read(path):
    with Image.open(f"{path}.png") as mask:
        return np.array(mask), mask.getpalette()[:9]


def test_masks_are_those_of_tagmask(exported, trained, scenes, tmp_path):
    paths = pictures(tmp_path, scenes)
    done = run_alone(exported("onnx"), *paths)
    assert done.returncode == 0, done.stderr
    predictor = tagmask.load(trained, "cpu")
    for path in paths:
        mask, palette = read(path)
        expected = predictor(path)
        assert mask.shape == expected.shape
        assert (mask == expected).mean() >= 0.999, path
        assert palette == [0, 0, 0, 128, 0, 0, 0, 128, 0]
    assert len(np.unique(predictor(paths[0]))) > 1  # random weights, and yet more than one class


def test_the_refusal_of_packages_can_fail(exported, tmp_path):
    Image.new("RGB", (SIZE, SIZE)).save(tmp_path / "x.png")
    done = run_alone(exported("onnx"), tmp_path / "x.png", refused=("onnxruntime",))
    assert done.returncode != 0
    assert "refused: onnxruntime" in done.stderr


def test_images_of_more_than_8_bits_are_refused(exported, tmp_path):
    Image.fromarray(np.full((8, 8), 60_000, np.uint16)).save(tmp_path / "deep.png")
    outcome = run_alone(exported("onnx"), tmp_path / "deep.png")
    assert outcome.returncode == 1
    assert "deep.png has more than 8 bits" in outcome.stderr
    assert not (tmp_path / "deep.png.png").exists()


def test_what_is_no_photograph_is_said_in_words(exported, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "letter.jpg").write_text("Dear Sir or Madam")
    Image.linear_gradient("L").save(tmp_path / "whole.jpg")
    (tmp_path / "half.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:700])
    folder = exported("onnx")
    for name in ("folder", "letter.jpg", "half.jpg", "none.jpg"):
        outcome = run_alone(folder, tmp_path / name)
        assert outcome.returncode == 1
        assert outcome.stderr.startswith(f"{tmp_path / name} is no photograph that can be read: ")
        assert "Traceback" not in outcome.stderr
    of_bundle = run_alone(exported("bundle"), tmp_path / "letter.jpg", refused=())
    assert of_bundle.returncode == 1
    assert of_bundle.stderr.startswith(f"cannot read the image {tmp_path / 'letter.jpg'}: ")
    assert "Traceback" not in of_bundle.stderr
    assert run_alone(folder).stderr.startswith("Masks of photographs: python predict.py photo.jpg")
    assert not list(tmp_path.glob("*.jpg.png"))


def test_other_settings_of_a_run_are_followed_too(scenes, tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    settings = ("segmenter.flip=false", "segmenter.base_long_side=61", "segmenter.scales=[1.0]", "data.bands=[2,1,0]")
    run = written_run(tmp_path / "run", *settings)
    export_run(run, tmp_path / "out", "onnx")
    path = pictures(tmp_path, scenes)[0]
    assert run_alone(tmp_path / "out", path).returncode == 0
    assert (read(path)[0] == tagmask.load(run, "cpu")(path)).mean() >= 0.999
    Image.linear_gradient("L").save(tmp_path / "grey.png")
    of_one_band = run_alone(tmp_path / "out", tmp_path / "grey.png")
    assert of_one_band.stderr == f"{tmp_path / 'grey.png'} has 1 bands; those asked for, from 0, are [2, 1, 0]\n"
    assert of_one_band.returncode == 1


@pytest.mark.parametrize("form", ["bundle", "onnx", "openvino", "torch-export"])
def test_every_script_compiles_and_says_what_it_needs(form):
    text = script(form)
    compile(text, "predict.py", "exec")
    assert text.splitlines()[2].startswith("Needs ")
    assert ("import tagmask" in text) == (form == "bundle")
    assert ("import torch" in text) == (form == "torch-export")
    assert max(map(len, text.splitlines())) <= 120
