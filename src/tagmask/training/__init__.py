"""One loop that trains everything, what it looks at, and how it survives a kill.

A ``Trainable``, samples and settings enter; the network leaves trained, in place, with a log beside it.
"""
