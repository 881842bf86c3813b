"""A run made better by what a person has said about its masks.

A run with reviews enters. A second run leaves, which has learned from them, and with it what has changed on corrected
images that were held back.
"""
