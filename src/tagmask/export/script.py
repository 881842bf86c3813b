"""``predict.py`` of an exported network: all that tagmask does to a photograph, in one short file of its own."""

from tagmask.conventions import Form

_RUNNERS: dict[Form, tuple[str, str]] = {
    "onnx": (
        "import onnxruntime",
        'session = onnxruntime.InferenceSession(HERE / S["file"], providers=["CPUExecutionProvider"])\n\n'
        'def network(images):\n    return session.run(None, {"images": images})[0]',
    ),
    "openvino": (
        "import openvino",
        'compiled = openvino.Core().compile_model(HERE / S["file"], "CPU", {"INFERENCE_PRECISION_HINT": "f32"})\n\n'
        "def network(images):\n    return compiled(images)[0]",
    ),
    "torch-export": (
        "import torch",
        'module = torch.export.load(HERE / S["file"]).module(check_guards=False)\n\n'
        "def network(images):\n    return module(torch.from_numpy(images)).detach().numpy()",
    ),
}

_NEEDS: dict[Form, str] = {
    "onnx": "numpy, Pillow and onnxruntime; neither tagmask nor torch",
    "openvino": "numpy, Pillow and openvino; neither tagmask nor torch",
    "torch-export": "numpy, Pillow and torch; not tagmask",
}

_GRAPH = '''\
"""Masks of photographs: python predict.py photo.jpg ... writes photo.jpg.png.

Needs {needs}.
"""
import json, sys
from pathlib import Path
import numpy as np
{imports}
from PIL import Image, ImageOps

HERE = Path(__file__).resolve().parent
S = json.loads((HERE / "settings.json").read_text(encoding="utf-8"))
{network}

def read(path):  # RGB, upright, transparency on white
    try:
        image = Image.open(path)
        image.load()
    except (EOFError, OSError, SyntaxError, TypeError, ValueError, Image.DecompressionBombError) as error:
        sys.exit(f"{{path}} is no photograph that can be read: {{error}}")
    if image.mode[0] in "IF":
        sys.exit(f"{{path}} has more than 8 bits, which only tagmask itself reads")
    image = image if S["exif"] == "as_stored" else ImageOps.exif_transpose(image)
    if S["bands"]:
        values = np.atleast_3d(np.asarray(image))
        if max(S["bands"]) >= values.shape[2]:
            sys.exit(f"{{path}} has {{values.shape[2]}} bands; those asked for, from 0, are {{S['bands']}}")
        return Image.fromarray(np.ascontiguousarray(values[..., S["bands"]]))
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return image.convert("RGB")

def scaled(image, factor):
    size = tuple(max(1, round(side * factor)) for side in image.size)
    return image if size == image.size else image.resize(size, Image.Resampling.BICUBIC)

def resized(maps, size):  # bilinear, pixel centres at half integers
    for axis, length in ((1, size[0]), (2, size[1])):
        cells = maps.shape[axis]
        at = ((np.arange(length) + 0.5) * cells / length - 0.5).clip(0, cells - 1)
        low, part = at.astype(int), (at % 1).astype(np.float32).reshape((-1, 1) if axis == 1 else -1)
        maps = maps.take(low, axis) * (1 - part) + maps.take(np.minimum(low + 1, cells - 1), axis) * part
    return maps

def predict(path):
    """Mask of a photograph: 0 background, class i as i + 1, in the order of classes.json."""
    photo = read(path)
    width, height = photo.size
    factors = [(S["largest_side"] or 1e9) / max(photo.size), (S["largest_pixels"] / (width * height)) ** 0.5]
    small = scaled(photo, min(1, *factors))
    base, total = (S["base_long_side"] or max(small.size)) / max(small.size), 0
    for scale in S["scales"]:
        pixels = np.asarray(scaled(small, base * scale), np.float32) / 255
        images = ((pixels - np.float32(S["mean"])) / np.float32(S["std"])).transpose(2, 0, 1)[None]
        logits = network(np.ascontiguousarray(images))[0]
        if S["flip"]:
            logits = logits + network(np.ascontiguousarray(images[..., ::-1]))[0][..., ::-1]
        total = total + resized(logits, small.size[::-1])
    mask = Image.fromarray(total.argmax(0).astype(np.uint8 if len(S["classes"]) < 255 else np.uint16))
    return mask if mask.size == photo.size else mask.resize(photo.size, Image.Resampling.NEAREST)

if __name__ == "__main__":
    for name in sys.argv[1:] or sys.exit(__doc__):
        mask = predict(name)
        if mask.mode == "L":
            mask.putpalette([value for color in S["palette"] for value in color])
        mask.save(f"{{name}}.png")
'''

_BUNDLE = '''\
"""Masks of photographs: python predict.py photo.jpg ... writes photo.jpg.png.

Needs tagmask.
"""
import sys
from pathlib import Path
import tagmask
from PIL import Image

predict = tagmask.load(Path(__file__).resolve().parent)

if __name__ == "__main__":
    for name in sys.argv[1:] or sys.exit(__doc__):
        try:
            mask = Image.fromarray(predict(name).astype("uint8" if len(predict.classes) < 255 else "uint16"))
        except tagmask.TagmaskError as error:
            sys.exit(str(error))
        if mask.mode == "L":
            mask.putpalette([value for color in predict.config.palette for value in color])
        mask.save(f"{name}.png")
'''


def script(form: Form) -> str:
    """The text of ``predict.py`` for a form."""
    if form == "bundle":
        return _BUNDLE
    imports, network = _RUNNERS[form]
    return _GRAPH.format(needs=_NEEDS[form], imports=imports, network=network)
