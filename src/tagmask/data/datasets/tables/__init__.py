"""Tables of tags: a CSV or JSON file enters, rows of (image, tags, split) leave, in whichever layout it is."""

from tagmask.data.datasets.tables.layouts import Row, Table, tags_in
from tagmask.data.datasets.tables.reading import read_table
from tagmask.data.datasets.tables.sheets import find_table, text_of

__all__ = ["Row", "Table", "find_table", "read_table", "tags_in", "text_of"]
