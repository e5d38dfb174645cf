"""The documentation as a site: the pages of docs/, and a reference made from signatures and docstrings.

`make docs` writes it into build/site. Read `pages.py` first: it lays out what zensical then turns into HTML.
"""
