import logging
import warnings

import pytest

from tagmask.data.quiet_pillow import hush_pillow


def warn(module: str) -> None:
    warnings.warn_explicit("odd", UserWarning, "x.py", 1, module=module, registry={})


def test_warnings_of_pillow_alone_are_ignored():
    hush_pillow()
    hush_pillow()
    warn("PIL.TiffImagePlugin")
    for other in ("numpy", "PILS", "mine.PIL.x"):
        with pytest.raises(UserWarning, match="odd"):
            warn(other)
    assert sum(str(known[3]).count("PIL") for known in warnings.filters) == 1


def test_logs_of_pillow_do_not_fall_through_to_the_terminal(capsys):
    logging.getLogger("PIL.TiffImagePlugin").error("odd")
    assert capsys.readouterr().err == ""
