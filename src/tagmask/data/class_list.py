"""``classes.json``, the list of classes that is written beside masks: a folder with one holds no photographs."""

import json
from pathlib import Path

CLASSES = "classes.json"


def is_class_list(path: Path) -> bool:
    """Whether a file is the list of classes that is written beside masks."""
    try:
        entries = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return (
        isinstance(entries, list)
        and len(entries) > 0
        and all(isinstance(entry, dict) and entry.keys() == {"index", "name", "color"} for entry in entries)
    )
