"""Segments → their surfaces and skeletons.

Arrays come in and go out. `surfaces` finds the surfaces of a block and joins those of many, `skeletons` finds centre lines,
`pieces` keeps what blocks found of each segment, and `in_blocks` has the tasks for volumes of any size.
"""
