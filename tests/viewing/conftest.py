"""Runs to look at: one with photographs, whose masks were drawn by hand."""

from exchange.conftest import photo_run

__all__ = ["photo_run"]
