"""Photographs that have arrived: what is in their head, then their pixels."""

from pathlib import Path

from PIL import Image, UnidentifiedImageError

from tagmask.contracts import ImageArray
from tagmask.data.bands import band_layout
from tagmask.data.images import PHOTO_FORMATS, check_image
from tagmask.data.quiet_pillow import hush_pillow
from tagmask.errors import TagmaskError
from tagmask.inference.predictor import Predictor
from tagmask.serving.server.refusals import RefusedError, too_large

EXPECTED = ", ".join(PHOTO_FORMATS)


def pixel_count(path: Path, most: int) -> int:
    """How many pixels a photograph has, from the head of its file: nothing is decoded.

    Args:
        path: of the file.
        most: how many it may have.

    Raises:
        RefusedError: it has more (413), it is no image (415), or its head is damaged (422).
    """
    hush_pillow()
    try:
        with Image.open(path, formats=PHOTO_FORMATS) as image:
            rows, columns = image.height, image.width
    except Image.DecompressionBombError as error:
        raise too_large("far too many pixels", f"{most}") from error
    except UnidentifiedImageError as error:
        layout = band_layout(path)
        if layout is None:
            sentence = f"what was sent cannot be read: {check_image(path)}; expected one of {EXPECTED}"
            raise RefusedError(415, sentence) from error
        rows, columns = layout.size
    except (OSError, ValueError, SyntaxError, EOFError, LookupError, TypeError, OverflowError) as error:
        raise RefusedError(422, f"the photograph is damaged: {error}; expected a whole one of {EXPECTED}") from error
    if rows * columns > most:
        raise too_large(f"{rows} x {columns} = {rows * columns} pixels", f"{most}")
    return rows * columns


def decoded(predictor: Predictor, path: Path) -> ImageArray:
    """The pixels of a photograph as the network's training read them; the file is removed.

    Raises:
        RefusedError: it is cut off or damaged, or has not the bands that the network needs (422).
    """
    try:
        return predictor.reading.photograph(path)
    except TagmaskError as error:
        sentence = str(error).replace(f"the image {path}", "the photograph").replace(str(path), "the photograph")
        raise RefusedError(422, sentence) from error
    finally:
        path.unlink(missing_ok=True)
