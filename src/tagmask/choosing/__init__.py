"""What fits the data and the machine: recipe, sizes, steps, and how long that will take.

A data folder enters; a recipe leaves, with a reason for every choice and an estimate of time and memory. Nothing here
looks at a mask.
"""
