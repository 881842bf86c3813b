"""Work on many images by many processes that know nothing of each other but a folder that all of them see.

Images and a shard's name enter, the images that are this process's leave. ``shard`` deals them out, ``claims`` tells
who works on what.
"""
