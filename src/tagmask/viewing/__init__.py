"""A run in Python and in notebooks: its masks beside their photographs, qualities, reviews and scores.

A run folder enters, finished or not. Arrays, Pillow images and pictures with words leave; the folder stays as it is.
"""
