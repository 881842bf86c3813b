"""A local page on which a person accepts, rejects and repaints the pseudo masks of a run.

A run with masks enters; reviews of its images leave, each as it is decided. Nobody but this machine is answered.
"""
