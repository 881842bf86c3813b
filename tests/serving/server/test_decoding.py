import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from tagmask.serving.server.decoding import decoded, pixel_count
from tagmask.serving.server.refusals import RefusedError


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width, height, *chunks):
    """A PNG whose head claims a size; its pixels are missing unless they are among the chunks."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def refusal(tmp_path, content, most=1000):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(RefusedError) as caught:
        pixel_count(tmp_path / "x", most)
    assert str(tmp_path) not in caught.value.sentence
    return caught.value


def test_pixels_are_counted_without_decoding(tmp_path):
    (tmp_path / "x").write_bytes(png(40, 25))
    assert pixel_count(tmp_path / "x", 1000) == 1000


@pytest.mark.parametrize("size", [(41, 25), (30_000, 1), (9000, 9000), (30_000, 30_000), (2**31 - 1, 2**31 - 1)])
def test_one_pixel_too_many_is_refused(tmp_path, size):
    found = refusal(tmp_path, png(*size))
    assert found.status == 413
    assert "expected at most 1000" in found.sentence


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"hello", "not an image"),
        (b"<svg/>", "a page of text or of the web"),
        (b"%PDF-1.4", "a PDF"),
        (b"\0\0\0\x18ftypheic", "HEIC"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "not an image"),
        (b"P6 2 2 255 aaaaaaaaaaaa", "not an image"),
        (b"\x89PNG\r\n\x1a\n", "not an image"),
    ],
)
def test_what_is_no_image_of_ours_is_named(tmp_path, content, words):
    found = refusal(tmp_path, content)
    assert found.status == 415
    assert words in found.sentence
    assert "JPEG, PNG, WEBP, TIFF, BMP, GIF" in found.sentence


def test_texts_that_unpack_without_end_are_refused(tmp_path):
    bomb = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(20_000_000)))
    assert refusal(tmp_path, png(5, 5, bomb)).status == 422


def test_pixels_are_those_of_the_predictor_and_the_file_goes(tmp_path, predictor, scene, encoded):
    (tmp_path / "x").write_bytes(encoded())
    assert np.array_equal(decoded(predictor, tmp_path / "x"), scene)
    assert not (tmp_path / "x").exists()


def test_a_photograph_that_is_cut_off_is_damaged(tmp_path, predictor, encoded):
    (tmp_path / "x").write_bytes(encoded("JPEG")[:-40])
    assert pixel_count(tmp_path / "x", 10**6) == 48 * 48
    with pytest.raises(RefusedError, match=r"^cannot read the photograph: image file is truncated") as caught:
        decoded(predictor, tmp_path / "x")
    assert caught.value.status == 422
    assert str(tmp_path) not in str(caught.value)
    assert not (tmp_path / "x").exists()


def test_of_moving_pictures_the_first_counts(tmp_path, predictor):
    buffer = io.BytesIO()
    red, blue = (Image.new("RGB", (6, 4), color) for color in ("red", "blue"))
    red.save(buffer, "GIF", save_all=True, append_images=[blue] * 3)
    (tmp_path / "x").write_bytes(buffer.getvalue())
    assert pixel_count(tmp_path / "x", 24) == 24
    assert decoded(predictor, tmp_path / "x").tolist() == [[[255, 0, 0]] * 6] * 4
