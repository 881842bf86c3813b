import io
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image, ImageOps

from data.tiff_of_bands import numbers, tiff
from tagmask.data.images import (
    IGNORE,
    check_image,
    examine,
    image_size,
    mask_bits,
    palette,
    read_image,
    read_mask,
    read_small,
    write_mask,
)
from tagmask.errors import TagmaskError

RED = (200, 30, 10)


def photo(height: int = 24, width: int = 32) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows * 8, columns * 6, rows + columns], axis=2).astype(np.uint8)


def grey(value: float, dtype: type) -> Image.Image:
    return Image.fromarray(np.full((3, 4), value, dtype))


def test_rgb_returns_as_it_was_and_may_be_written_to(tmp_path: Path):
    Image.fromarray(photo()).save(tmp_path / "a.png")
    pixels = read_image(tmp_path / "a.png")
    np.testing.assert_array_equal(pixels, photo())
    pixels[0] = 0


def transparent_palette() -> Image.Image:
    image = Image.fromarray(np.array([[0, 1]], np.uint8))
    image.putpalette([*RED, 0, 0, 0])
    image.info["transparency"] = 1
    return image


@pytest.mark.parametrize(
    ("image", "suffix", "pixel"),
    [
        (Image.new("RGB", (4, 3), RED), "png", RED),
        (Image.new("RGB", (4, 3), RED), "bmp", RED),
        (Image.new("RGB", (4, 3), RED), "tiff", RED),
        (Image.new("RGBA", (4, 3), (*RED, 255)), "png", RED),
        (Image.new("RGBA", (4, 3), (*RED, 0)), "png", (255, 255, 255)),
        (Image.new("RGBA", (4, 3), (0, 0, 0, 128)), "png", (127, 127, 127)),
        (Image.new("L", (4, 3), 77), "png", (77, 77, 77)),
        (Image.new("LA", (4, 3), (77, 0)), "png", (255, 255, 255)),
        (Image.new("1", (4, 3), 1), "png", (255, 255, 255)),
        (Image.new("1", (4, 3), 0), "tiff", (0, 0, 0)),
        (Image.new("RGB", (4, 3), RED).quantize(4), "png", RED),
        (Image.new("RGB", (4, 3), RED).quantize(4), "gif", RED),
        (Image.new("CMYK", (4, 3), (0, 255, 255, 0)), "tiff", (255, 0, 0)),
        (grey(65535, np.uint16), "png", (255, 255, 255)),
        (grey(257 * 9, np.uint16), "png", (9, 9, 9)),
        (grey(257 * 9, np.uint16), "tiff", (9, 9, 9)),
        (grey(257 * 9, np.int32), "tiff", (9, 9, 9)),
        (grey(0.2, np.float32), "tiff", (51, 51, 51)),
        (grey(51.0, np.float32), "tiff", (51, 51, 51)),
        (grey(np.nan, np.float32), "tiff", (0, 0, 0)),
    ],
)
def test_every_mode_has_its_answer(tmp_path: Path, image: Image.Image, suffix: str, pixel: tuple[int, int, int]):
    path = tmp_path / f"a.{suffix}"
    image.save(path)
    pixels = read_image(path)
    assert pixels.shape == (3, 4, 3)
    assert pixels.dtype == np.uint8
    np.testing.assert_allclose(pixels, np.broadcast_to(pixel, (3, 4, 3)), atol=1)
    assert check_image(path) is None


def test_transparent_palette_entries_lie_on_white(tmp_path: Path):
    transparent_palette().save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").tolist() == [[list(RED), [255, 255, 255]]]


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_jpeg_modes(tmp_path: Path, mode: str):
    Image.fromarray(photo()).convert(mode).save(tmp_path / "a.jpg", quality=95)
    expected = np.asarray(Image.fromarray(photo()).convert(mode).convert("RGB")).astype(int)
    assert abs(read_image(tmp_path / "a.jpg") - expected).mean() < 3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(tmp_path: Path, orientation: int):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(photo()).save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), expected)


def jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(photo(200, 300)).save(buffer, "JPEG")
    return buffer.getvalue()


def png() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def ppm() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(photo()).save(buffer, "PPM")
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content", [b"", b"not an image", jpeg()[:300], jpeg()[:-200], png()[:60], png()[:-500], ppm()]
)
def test_bad_files_are_named_and_the_quick_check_agrees(tmp_path: Path, content: bytes):
    (tmp_path / "broken.jpg").write_bytes(content)
    with pytest.raises(TagmaskError, match=r"broken\.jpg"):
        read_image(tmp_path / "broken.jpg")
    assert check_image(tmp_path / "broken.jpg")


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_the_smallest_image(tmp_path: Path, suffix: str):
    Image.new("RGB", (1, 1), RED).save(tmp_path / f"a.{suffix}")
    assert check_image(tmp_path / f"a.{suffix}") is None
    assert read_image(tmp_path / f"a.{suffix}").shape == (1, 1, 3)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path):
    with pytest.raises(TagmaskError, match=r"no such file.*a\.jpg"):
        read_image(tmp_path / "a.jpg")
    (tmp_path / "b.jpg").mkdir()
    with pytest.raises(TagmaskError, match=r"b\.jpg"):
        read_image(tmp_path / "b.jpg")


def test_the_pixel_limit_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    Image.fromarray(photo()).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(TagmaskError, match=r"a\.png.*exceeds the pixel limit of 200"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("num_classes", [1, 20, 254, 255, 300, 65534])
@settings(max_examples=15)
@given(data=st.data())
def test_masks_return_as_they_were(tmp_path_factory: pytest.TempPathFactory, num_classes: int, data: st.DataObject):
    mask = data.draw(arrays.arrays(np.int32, (3, 5), elements=st.integers(IGNORE, num_classes)))
    path = tmp_path_factory.mktemp("masks") / "a" / "b.png"
    write_mask(path, mask, num_classes=num_classes)
    bits = mask_bits(num_classes)
    np.testing.assert_array_equal(read_mask(path, 2**bits - 1), mask)
    with Image.open(path) as image:
        assert image.mode == ("P" if bits == 8 else "I;16")


def test_bits_by_class_count():
    assert [mask_bits(number) for number in (1, 254, 255, 65534)] == [8, 8, 16, 16]
    with pytest.raises(TagmaskError, match="65534"):
        mask_bits(65535)


def test_small_masks_have_colours_and_ignore_is_255(tmp_path: Path):
    write_mask(tmp_path / "a.png", np.array([[0, 1, IGNORE]]))
    with Image.open(tmp_path / "a.png") as image:
        assert np.asarray(image).tolist() == [[0, 1, 255]]
        assert np.asarray(image.convert("RGB")).tolist() == [[[0, 0, 0], [128, 0, 0], [224, 224, 192]]]


def test_the_bits_follow_the_values_where_no_class_count_is_given(tmp_path: Path):
    write_mask(tmp_path / "a.png", np.array([[255]]))
    assert read_mask(tmp_path / "a.png", 65535).tolist() == [[255]]


@pytest.mark.parametrize(("ignore_value", "written"), [(21, 21), (1000, 1000), (65535, 65535)])
def test_another_ignore_value(tmp_path: Path, ignore_value: int, written: int):
    write_mask(tmp_path / "a.png", np.array([[0, 20, IGNORE]]), ignore_value, num_classes=20)
    with Image.open(tmp_path / "a.png") as image:
        assert np.asarray(image).tolist() == [[0, 20, written]]
    assert read_mask(tmp_path / "a.png", ignore_value).tolist() == [[0, 20, IGNORE]]


@pytest.mark.parametrize("ignore_value", [20, 1, 0])
def test_an_ignore_value_that_is_a_class_is_refused(tmp_path: Path, ignore_value: int):
    with pytest.raises(TagmaskError, match=f"ignore value {ignore_value} is also a class"):
        write_mask(tmp_path / "a.png", np.array([[0, 5, IGNORE]]), ignore_value, num_classes=20)
    assert not (tmp_path / "a.png").exists()


@pytest.mark.parametrize("ignore_value", [-1, 65536])
def test_an_ignore_value_that_fits_no_file_is_refused(tmp_path: Path, ignore_value: int):
    with pytest.raises(TagmaskError, match=r"0\.\.65535"):
        write_mask(tmp_path / "a.png", np.array([[0, 5]]), ignore_value)


@pytest.mark.parametrize("value", [-2, 21])
def test_numbers_beyond_the_classes_are_refused(tmp_path: Path, value: int):
    with pytest.raises(TagmaskError, match=r"expected -1\.\.20"):
        write_mask(tmp_path / "a.png", np.array([[0, value]]), num_classes=20)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_grey_files_of_few_bits_keep_their_numbers(tmp_path: Path, bits: int):
    numbers = np.array([[0, 1, min(3, 2**bits - 1)]], np.uint8)
    raw = few_bits(numbers, bits)
    (tmp_path / "a.png").write_bytes(raw)
    assert read_mask(tmp_path / "a.png", 255).tolist() == numbers.tolist()


def few_bits(numbers: np.ndarray, bits: int) -> bytes:
    """A one-row grey PNG of 1, 2 or 4 bits, which Pillow reads but does not write."""
    row = "".join(f"{number:0{bits}b}" for number in numbers[0]).ljust(8 * ((bits * numbers.size + 7) // 8), "0")
    data = b"\0" + int(row, 2).to_bytes(len(row) // 8, "big")

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", numbers.size, 1, bits, 0, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_a_coloured_mask_is_refused(tmp_path: Path, mode: str):
    Image.new(mode, (4, 3)).save(tmp_path / "a.png")
    with pytest.raises(TagmaskError, match=r"a\.png has colours"):
        read_mask(tmp_path / "a.png", 255)


@pytest.mark.parametrize("spoil", [lambda path: path.write_bytes(jpeg()), lambda path: path.write_bytes(b"")])
def test_a_lossy_or_empty_mask_is_refused(tmp_path: Path, spoil: Callable[[Path], None]):
    spoil(tmp_path / "a.png")
    with pytest.raises(TagmaskError, match=r"a\.png.*PNG"):
        read_mask(tmp_path / "a.png", 255)


def test_the_palette_has_256_different_colours():
    assert len({tuple(colour) for colour in palette().tolist()}) == 256


# ── odd files ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_file_of_many_bands_is_refused_with_what_to_set(tmp_path: Path):
    (tmp_path / "a.tif").write_bytes(tiff(numbers("uint16", bands=4)))
    with pytest.raises(TagmaskError, match=r"a\.tif: it is a TIFF of 4 bands of 16 bits.*data\.bands=\[0, 1, 2\]"):
        read_image(tmp_path / "a.tif")
    assert "4 bands of 16 bits" in str(check_image(tmp_path / "a.tif"))


@pytest.mark.parametrize(("dtype", "scale"), [("uint8", 1), ("uint16", 1 / 257), ("float32", 255)])
def test_bands_that_are_named_are_read(tmp_path: Path, dtype: str, scale: float):
    values = numbers(dtype)
    (tmp_path / "a.tif").write_bytes(tiff(values))
    pixels = read_image(tmp_path / "a.tif", (3, 1, 0))
    np.testing.assert_allclose(pixels, values[:, :, [3, 1, 0]] * scale, atol=0.51)
    assert check_image(tmp_path / "a.tif", (3, 1, 0)) is None
    assert image_size(tmp_path / "a.tif") == values.shape[:2]


def test_a_band_that_was_taken_for_transparency_can_be_left_out(tmp_path: Path):
    Image.new("RGBA", (4, 3), (*RED, 0)).save(tmp_path / "a.tif")
    assert read_image(tmp_path / "a.tif")[0, 0].tolist() == [255, 255, 255]
    assert read_image(tmp_path / "a.tif", (0, 1, 2))[0, 0].tolist() == list(RED)


def test_bands_of_other_kinds_of_files(tmp_path: Path):
    Image.new("RGB", (4, 3), RED).save(tmp_path / "a.png")
    Image.new("RGB", (4, 3), RED).quantize(4).save(tmp_path / "p.png")
    Image.new("L", (4, 3)).save(tmp_path / "g.png")
    for name in ("a.png", "p.png"):
        assert read_image(tmp_path / name, (2, 1, 0))[0, 0].tolist() == list(RED[::-1])
    with pytest.raises(TagmaskError, match=r"g\.png: it has 1 bands, 0 to 0, and data\.bands asks for \[0, 1, 2\]"):
        read_image(tmp_path / "g.png", (0, 1, 2))


def test_bands_are_turned_upright_too(tmp_path: Path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(photo()).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", (0, 1, 2)), read_image(tmp_path / "a.png"))
    assert image_size(tmp_path / "a.png") == (32, 24)


def test_sizes_come_from_the_head_of_a_file(tmp_path: Path):
    Image.fromarray(photo()).save(tmp_path / "a.jpg")
    (tmp_path / "b.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:400])
    (tmp_path / "c.jpg").write_bytes(b"no image")
    assert [image_size(tmp_path / f"{name}.jpg") for name in "acd"] == [(24, 32), None, None]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b"\n<!DOCTYPE html><html>", "page of text or of the web"),
        (b'{"error": 404}', "a text, not an image"),
        (b"%PDF-1.7", "a PDF"),
        (b"\0\0\0\x18ftypheic", "HEIC"),
        (b"II+\0\x08\0\0\0", "BigTIFF"),
        (b"nonsense", "not an image"),
    ],
)
def test_what_a_file_is_instead_of_an_image_is_said(tmp_path: Path, content: bytes, words: str):
    (tmp_path / "a.jpg").write_bytes(content)
    assert words in str(check_image(tmp_path / "a.jpg"))
    with pytest.raises(TagmaskError, match=rf"a\.jpg: .*{words}"):
        read_image(tmp_path / "a.jpg")


def test_a_kind_of_tiff_that_is_not_read_is_named(tmp_path: Path):
    (tmp_path / "a.tif").write_bytes(tiff(numbers("float64", bands=1)))
    assert "1 bands of 64 bits, which are not read" in str(check_image(tmp_path / "a.tif"))


def test_a_folder_is_said_to_be_one(tmp_path: Path):
    with pytest.raises(TagmaskError, match="it is a folder"):
        read_image(tmp_path)


def test_too_little_memory_for_an_image_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    Image.fromarray(photo()).save(tmp_path / "a.png")

    def full(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Image, "open", full)
    with pytest.raises(TagmaskError, match=r"a\.png: there is not enough memory"):
        read_image(tmp_path / "a.png")


def test_nothing_that_pillow_remarks_reaches_the_terminal(tmp_path: Path):
    """In a process of its own, where warnings are shown and logs fall through to the terminal."""
    (tmp_path / "bands.tif").write_bytes(tiff(numbers("uint8", bands=8)))
    Image.fromarray(photo()).save(tmp_path / "cut.tif", compression="tiff_deflate")
    (tmp_path / "cut.tif").write_bytes((tmp_path / "cut.tif").read_bytes()[:200])
    Image.fromarray(photo()).save(tmp_path / "exif.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\x09\0")
    Image.new("RGB", (200, 100)).save(tmp_path / "large.png")
    code = (
        "import sys; from pathlib import Path; from PIL import Image; Image.MAX_IMAGE_PIXELS = 15_000\n"
        "from tagmask.data.images import check_image, image_size, read_image\n"
        "for path in sorted(Path(sys.argv[1]).iterdir()):\n"
        "    image_size(path); check_image(path) or read_image(path); check_image(path, (0, 1, 2))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("image", "has_faded"),
    [
        (Image.new("RGBA", (4, 3), (*RED, 0)), True),
        (Image.fromarray(np.arange(12, dtype=np.uint16).reshape(3, 4)), True),
        (Image.new("RGB", (4, 3), RED), False),
        (Image.fromarray(photo()).convert("RGBA"), False),
        (Image.new("RGBA", (1, 1)), False),
    ],
    ids=["transparent", "16 bits of small numbers", "plain colour", "opaque", "one pixel"],
)
def test_images_that_lose_all_when_they_are_converted_are_noticed(tmp_path: Path, image: Image.Image, has_faded: bool):
    image.save(tmp_path / "a.png")
    assert examine(tmp_path / "a.png") == (None, has_faded)


# ── small ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_photograph_is_read_small_and_upright_with_its_full_size(tmp_path, orientation):
    pixels = np.zeros((240, 400, 3), np.uint8)
    pixels[:, :200] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / "a.jpg", exif=exif)
    small, size = read_small(tmp_path / "a.jpg", 32)
    whole = read_image(tmp_path / "a.jpg")
    assert size == whole.shape[:2] == ((240, 400) if orientation == 1 else (400, 240))
    assert small.shape == ((60, 100, 3) if orientation == 1 else (100, 60, 3))
    assert np.abs(small[2, 2].astype(int) - whole[2, 2]).max() < 8


def test_small_reading_keeps_other_formats_and_refuses_what_is_no_image(tmp_path):
    Image.fromarray(np.zeros((50, 70, 4), np.uint8)).save(tmp_path / "a.png")
    small, size = read_small(tmp_path / "a.png", 32)
    assert (small.shape, size) == ((50, 70, 3), (50, 70))
    assert (small == 255).all()  # transparency lies on white
    (tmp_path / "b.jpg").write_bytes(b"")
    with pytest.raises(TagmaskError, match="empty"):
        read_small(tmp_path / "b.jpg", 32)
