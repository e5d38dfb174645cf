"""Anything → what a person looks at.

`figures` draws sections, affinities and curves as pictures, `report` puts them on a page, `snapshots` and `augmentation` show a
training at work, `neuroglancer` serves volumes to a browser. Segments keep their `colours` from picture to picture.
"""
