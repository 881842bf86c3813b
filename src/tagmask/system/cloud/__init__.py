"""Object storage, as far as anything here knows it: folders are brought from there and there, whole and safely.

URLs enter, folders of this machine leave, in which everything else works. ``places`` lists, fetches and puts files,
``sync`` makes one place hold what the other does, ``mirror`` keeps what URLs name in a cache.
"""
