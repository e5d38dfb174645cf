"""The steps of a segmentation as tasks on blocks, each named as its whole.

Comes in: a `Grid` and options; goes out: a list of `Task`, each a pure function of what it reads from a `Store`. Each block
decides what no other block can change, and passes the rest up to levels of joined blocks. `segment` puts all tasks together,
`verify` compares with the whole. Read `fragments` and `forest` first, then `agglomeration`, then `relabel`.
"""
