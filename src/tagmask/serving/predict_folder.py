"""Masks for a folder of new images."""

from pathlib import Path

from PIL import Image

from tagmask.data.images import read_image, write_mask
from tagmask.errors import TagmaskError
from tagmask.inference.predictor import load
from tagmask.masks.overlays import overlay_mask
from tagmask.system.progress import track
from tagmask.system.storage import writing

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif"})


def image_files(path: Path, without: Path | None = None) -> list[Path]:
    """The image itself, or every image anywhere below a folder, sorted.

    Args:
        path: an image or a folder.
        without: a folder to leave out if it lies below ``path``.

    Raises:
        TagmaskError: nothing there.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise TagmaskError(f"no such image or folder: {path}")
    hidden = without.resolve() if without is not None and path.resolve() in without.resolve().parents else None
    files = (file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
    found = sorted(file for file in files if hidden not in file.resolve().parents)
    if not found:
        raise TagmaskError(f"no images below {path}; expected files ending in {' '.join(sorted(SUFFIXES))}.")
    return found


def predict_images(images: Path, model: Path, out: Path, overlays: bool) -> tuple[int, list[str]]:
    """Segment an image or all images of a folder; one bad image does not stop the others.

    Args:
        images: an image or a folder.
        model: a run folder with a trained segmenter.
        out: receives the masks at the images' relative paths, ``a.jpg.png`` for ``a.jpg``, and, if asked,
            ``a.jpg_overlay.jpg``.
        overlays: whether to write overlays.

    Returns:
        How many masks were written, and one line for each image that failed.

    Raises:
        TagmaskError: no images, or no model.
    """
    files = image_files(images, without=out)  # masks of an earlier call are no photographs
    predictor = load(model)
    root = images if images.is_dir() else images.parent
    failed = []
    for file in track(files, "predict", len(files)):
        try:
            pixels = read_image(file)
        except TagmaskError as error:
            failed.append(str(error))
            continue
        mask = predictor(pixels)
        # The suffix stays in the name: a.jpg and a.png are two images.
        target = out / file.relative_to(root)
        write_mask(target.with_name(f"{target.name}.png"), mask, None, len(predictor.classes))
        if overlays:
            with writing(target.with_name(f"{target.name}_overlay.jpg")) as temporary:
                Image.fromarray(overlay_mask(pixels, mask)).save(temporary, "JPEG", quality=90)
    return len(files) - len(failed), failed
