"""Pages for people live here: the report of a run, and the page that sets the runs of a comparison side by side.

What runs have written and scored enters, together with the photographs and ground truth of their data. One HTML file a
page leaves, readable offline and without a script; both pages are made of the same parts, see ``templates/``.
"""
