"""An export of one run in each form."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from exports import sizes_as_symbols, written_run
from tagmask.export.forms import FILES, PACKAGES
from tagmask.export.product import export_run


@pytest.fixture(autouse=True)
def symbols_pass_for_sizes() -> Iterator[None]:
    with sizes_as_symbols():
        yield


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """A run folder; not to be changed."""
    return written_run(tmp_path_factory.mktemp("trained") / "run")


@pytest.fixture(scope="session")
def products(tmp_path_factory, trained) -> Path:
    """A folder with an export of the run in each form that the packages here can write, under the form's name."""
    folder = tmp_path_factory.mktemp("products")
    for form in FILES:
        if all(find_spec(package) for package, _ in PACKAGES[form]):
            with sizes_as_symbols():
                export_run(trained, folder / form, form)
    return folder


@pytest.fixture(params=list(FILES))
def product(request, products) -> Path:
    """One of them."""
    if not (products / request.param).exists():
        pytest.skip(f"the packages for {request.param} are not installed")
    return products / request.param


@pytest.fixture
def onnx_product(products) -> Path:
    """The export as ONNX."""
    if not (products / "onnx").exists():
        pytest.skip("onnx, onnxscript and onnxruntime are not installed")
    return products / "onnx"
