"""A setting that was not made by a person, and why it has its value."""

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Choice:
    """A setting, its value and why.

    Attributes:
        setting: its path, or ``recipe``.
        value: what it is set to.
        reason: in a sentence.
    """

    setting: str
    value: Any
    reason: str

    def __str__(self) -> str:
        """In a line."""
        return f"{self.setting} = {json.dumps(self.value)}: {self.reason}"

    @property
    def change(self) -> str:
        """As ``--set`` takes it."""
        return f"{self.setting}={json.dumps(self.value)}"
