"""What is to be known of tagged images before anything learns from them, in words.

Images with their tags enter, and a trained classifier where there is one. Findings leave, each with a key for scripts,
a severity and what to do; with them counts, near-duplicates, doubtful tags, what to expect and which recipe to take.
"""
