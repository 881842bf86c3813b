"""The stages of a run, from tags to predictions, and the run folder that joins them.

A recipe and data enter, a run folder leaves: each stage reads folders and writes folders, so that it can be looked at,
resumed and repeated.
``table`` lists them all, ``pipeline`` puts them in order.
"""
