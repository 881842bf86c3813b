"""How trained networks look at whole images: several sizes, mirrored, put back in place and summed.

Images and a network enter; maps, scores or masks at a wanted size leave. ``predictor`` is a finished run as one
callable.
"""
