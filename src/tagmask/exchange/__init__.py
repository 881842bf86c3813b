"""Masks to other people's tools and back: what a run has made, or a person has reviewed, in formats of those tools.

The masks of a run and its photographs enter, or a folder that a tool has written.
A folder that a tool reads leaves, or reviews of the run.
"""
