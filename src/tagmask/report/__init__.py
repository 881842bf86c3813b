"""Pages for people: the report of a run, the page that sets the runs of a comparison side by side, the doctor's page.

What runs have written and scored enters, together with the photographs and ground truth of their data; or what the
doctor has found. One HTML file a page leaves, readable offline and without a script; all pages are made of the same
parts, see ``templates/``.
"""
