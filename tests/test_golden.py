"""Our functions against numbers made by the reference implementations.

``TAGMASK_GOLDEN`` names the folder of the files (default: ``tests/golden``). For each ``NAME.npz`` in it the adapter
``NAME`` of ``golden_adapters`` computes the ``out_*`` arrays from the ``in_*`` and ``p_*`` arrays.

Files that may not be passed on lie in ``golden`` below ``TAGMASK_SHARED`` (default: ``../shared``) and are skipped
where that folder is absent.
"""

import os
from pathlib import Path

import numpy as np
import pytest

import golden_adapters

FOLDER = Path(os.environ.get("TAGMASK_GOLDEN", Path(__file__).parent / "golden"))
NOT_PASSED_ON = ("ir_label",)  # made from a photograph of PASCAL VOC
ELSEWHERE = Path(os.environ.get("TAGMASK_SHARED", "../shared")) / "golden"
FILES = sorted({FOLDER / f"{name}.npz" for name in NOT_PASSED_ON} | set(FOLDER.glob("*.npz")))


def differences(
    name: str, computed: np.ndarray, expected: np.ndarray, key: str, undecided: np.ndarray | bool = False
) -> str | None:
    """What is wrong with one output, or None; labels may differ where they are ``undecided``."""
    computed = np.asarray(computed)
    if computed.shape != expected.shape:
        return f"{key}: shape {computed.shape}, expected {expected.shape}"
    if expected.dtype.kind in "iub":
        wrong = int(((computed != expected) & ~np.asarray(undecided)).sum())
        return f"{key}: {wrong} of {expected.size} differ" if wrong else None
    absolute, relative = golden_adapters.tolerance(name, key)
    close = np.isclose(computed, expected, rtol=relative, atol=absolute, equal_nan=True)
    if close.all():
        return None
    return (
        f"{key}: largest difference {np.nanmax(np.abs(computed - expected)):.3g}, allowed {absolute:g} + {relative:g} x"
    )


def test_the_folder_has_files():
    assert any(path.exists() for path in FILES), f"no golden files in {FOLDER}"


def found(path: Path) -> Path:
    """The file itself, or the one of that name outside the repository."""
    if path.exists() or path.stem not in NOT_PASSED_ON:
        return path
    other = ELSEWHERE / path.name
    return other if other.exists() else pytest.skip(f"{path.name} may not be passed on, and is neither here nor there")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_golden(path: Path):
    with np.load(found(path), allow_pickle=False) as archive:
        arrays = {key: archive[key] for key in archive.files}
    given = {key: value for key, value in arrays.items() if key.startswith(("in_", "p_"))}
    expected = {key: value for key, value in arrays.items() if key.startswith("out_")}
    computed = getattr(golden_adapters, path.stem)(given)
    missing = sorted(expected.keys() - computed.keys())
    assert not missing, f"not computed: {missing}"
    wrong = [
        text
        for key in expected
        if (text := differences(path.stem, computed[key], expected[key], key, golden_adapters.undecided(key, expected)))
    ]
    assert not wrong, "\n".join(wrong)


def test_a_wrong_number_is_noticed():
    assert differences("metrics", np.array([1.0]), np.array([1.1]), "out_x")
    assert differences("metrics", np.array([1]), np.array([2]), "out_x")
    assert differences("metrics", np.zeros((1, 2)), np.zeros((2, 1)), "out_x")
