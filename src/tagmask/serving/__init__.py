"""Finished runs at work on images that nobody has tagged.

New images and a run folder enter, masks and overlays leave: from folder to folder, or over HTTP in `server`.
"""
