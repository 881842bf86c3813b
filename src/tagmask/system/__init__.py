"""The machine: files, processes, progress, compilation, versions.

Whatever must survive a kill or a full disk is written here, whole or not at all. Paths, arrays and functions enter,
files and results leave; nothing here knows what the arrays mean.
"""
