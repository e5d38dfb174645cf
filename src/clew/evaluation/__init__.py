"""Segmentation and truth → scores, and the places of errors, in arrays.

`overlap` counts which segment lies in which neuron; all `scores` (variation of information, adapted Rand, CREMI) come from
that table, and `errors` finds the largest splits and merges in it. `border` leaves out truth near borders. `skeletons` compares
with traced neurons, `edges` judges single contacts of a region graph. The same in blocks is in `in_blocks`.
"""
