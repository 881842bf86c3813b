"""Photographs, tags and masks as they lie on disk, and random views of them.

A data folder and its settings enter; a ``Dataset`` leaves, with everything that is wrong with the data said at once.
What is read here is upright RGB and masks in class numbers, whatever the files are.
"""
