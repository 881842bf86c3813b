import numpy as np
import pytest

from tagmask.doctor.hashes import BITS, close_pairs, mirrored_hashes, perceptual_hashes
from tagmask.doctor.looks import grey_copy


def uneven(seed: int) -> np.ndarray:
    """Blocks in numbers that share no divisor with the frequencies: of equal ones some frequencies would be nothing
    but rounding, which is another one on another processor."""
    blocks = np.random.default_rng(seed).integers(0, 256, (7, 11, 3), dtype=np.uint8)
    return np.kron(blocks, np.ones((9, 9, 1), np.uint8))


COPIES = np.stack([grey_copy(uneven(seed)) for seed in range(12)])


def bits_apart(one, other):
    return np.bitwise_count(one ^ other)


def test_about_half_of_all_bits_are_set():
    set_bits = np.bitwise_count(perceptual_hashes(COPIES))
    assert BITS // 2 - 2 <= set_bits.min() <= set_bits.max() <= BITS // 2


def test_brightness_and_contrast_do_not_matter():
    dimmed = (COPIES // 2 + 40).astype(np.uint8)
    assert bits_apart(perceptual_hashes(COPIES), perceptual_hashes(dimmed)).max() <= 6


def test_other_pictures_have_other_hashes():
    hashes = perceptual_hashes(COPIES)
    apart = bits_apart(hashes[:, None], hashes)[~np.eye(12, dtype=bool)]
    assert apart.min() > 10
    assert 28 < apart.mean() < 36


def test_a_mirrored_hash_is_that_of_the_mirror_image():
    assert (mirrored_hashes(COPIES) == perceptual_hashes(COPIES[:, :, ::-1])).all()


@pytest.mark.parametrize("distance", [0, 3, 10])
def test_no_close_pair_is_missed(distance):
    random = np.random.default_rng(0)
    hashes = random.integers(0, 2**64, 300, dtype=np.uint64)
    for place in range(150):  # relatives that differ in up to twelve bits
        changed = random.choice(64, size=place % 13, replace=False).astype(np.uint64)
        hashes[150 + place] = hashes[place] ^ np.bitwise_or.reduce(np.uint64(1) << changed, initial=np.uint64(0))
    apart = bits_apart(hashes[:, None], hashes)
    wanted = {tuple(pair) for pair in np.argwhere(apart <= distance).tolist()}
    found = {tuple(pair) for pairs in close_pairs(hashes, hashes, distance) for pair in pairs.tolist()}
    assert found == wanted


def test_no_hashes_have_no_pairs():
    nothing = np.zeros(0, np.uint64)
    assert list(close_pairs(nothing, nothing, 5)) == []


def test_equal_hashes_in_great_number_are_all_found():
    same = np.full(700, 5, np.uint64)
    found = {tuple(pair) for pairs in close_pairs(same, same[:2], 0) for pair in pairs.tolist()}
    assert len(found) == 1400
