"""From maps to masks: backgrounds, confident labels, dense CRF, instances, saliency, pictures of them.

Maps of one image enter, as arrays or as the archives that a run keeps; scores, labels and masks at image size leave.
No network is used here, and nothing is written.
"""
