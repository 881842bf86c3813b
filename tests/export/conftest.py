"""An export of one run in each form."""

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from exports import sizes_as_symbols, written_run
from tagmask.conventions import Form
from tagmask.export.forms import EXTRAS
from tagmask.export.product import export_run

SLOW: tuple[Form, ...] = ("openvino", "torch-export")  # together half a minute


@pytest.fixture(autouse=True)
def symbols_pass_for_sizes() -> Iterator[None]:
    with sizes_as_symbols():
        yield


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """A run folder; not to be changed."""
    return written_run(tmp_path_factory.mktemp("trained") / "run")


@pytest.fixture(scope="session")
def exported(tmp_path_factory, trained) -> Callable[[Form], Path]:
    """The folder of an export of the run in a form, made when it is first asked for; not to be changed."""
    folder = tmp_path_factory.mktemp("products")

    def made(form: Form) -> Path:
        _, packages = EXTRAS.get(form, ("", ()))
        missing = [package for package in packages if not find_spec(package)]
        if missing:
            pytest.skip(f"not installed: {', '.join(missing)}")
        if not (folder / form).exists():
            with sizes_as_symbols():
                export_run(trained, folder / form, form)
        return folder / form

    return made


@pytest.fixture(params=["bundle", "onnx", *(pytest.param(form, marks=pytest.mark.slow) for form in SLOW)])
def product(request, exported) -> Path:
    """An export of the run in each form."""
    return exported(request.param)
