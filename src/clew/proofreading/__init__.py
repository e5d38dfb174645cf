"""Merge tree and corrections → segmentation, in arrays.

`corrections` replays merges and splits at any threshold and says which could not be kept; `split` finds where a segment is cut,
`pieces` divides a fragment.
The file of corrections, `clew.Edits`, is in `pipeline/`.
"""
