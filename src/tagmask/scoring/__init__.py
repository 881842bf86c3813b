"""How good a run is: scores with their protocols, and several recipes compared.

Runs enter; scores, figures and tables leave. Ground truth is read here and for the pictures of a report, nowhere else.
"""
