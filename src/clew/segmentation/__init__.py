"""Affinities → segmentation, in arrays.

`segment` is the whole way. Its steps, in the order to read them: `fragments` (affinities → fragments), `region_graph` (what
touches what, and how strongly), `agglomeration` (region graph → merge tree), `relabel` and `dust` (a cut of the tree →
segmentation). All their options are in `options`. The same in blocks, of any size and with the same result, is in
`in_blocks/`.
"""
