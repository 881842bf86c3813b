"""A trained network as a product: one folder that holds all there is to know to use it, without its run.

A run enters, its images too, as every form is compared with torch before it is handed out. A folder leaves: the network
as a bundle or a graph, its settings, its classes, a model card and a script that needs neither tagmask nor torch.
"""
