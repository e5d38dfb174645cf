"""Segmentation → what other tools of the field read.

Arrays come in; arrays, bytes and JSON objects go out: no file is opened here. `segment_table` says which segments there are and
`properties` writes that for neuroglancer. `in_blocks` has the tasks for volumes of any size. The command is `pipeline/export`.
"""
