"""Pillow's remarks about odd files, which are for programmers, are kept from the terminal."""

import logging
import re
import warnings

_PILLOW = re.compile(r"PIL\.")
logging.getLogger("PIL").addHandler(logging.NullHandler())  # else Python prints what nobody asks for


def hush_pillow() -> None:
    """Ignore the warnings that Pillow's modules give; what matters of them is said in our words.

    They are ignored from now on and not in a block, as changing them to and fro is not safe among threads.
    """
    if not any(known[3] == _PILLOW for known in warnings.filters):
        warnings.filterwarnings("ignore", module=_PILLOW.pattern)
