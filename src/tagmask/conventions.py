"""The two numbers that mean the same everywhere: in memory, on every mask, in every module."""

BACKGROUND = 0
"""Class and channel of what is none of the classes; class i of the list is mask value i + 1."""

IGNORE = -1
"""Pixels without a label in memory, whatever number the files use."""
