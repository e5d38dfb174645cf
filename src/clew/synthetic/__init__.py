"""Nothing → raw and its truth: synthetic electron microscopy of neuropil.

It serves demos, tests and benchmarks.

`volume` is the whole way: `territory` divides space among `neurites`, `rendering` draws membranes, `organelles` fills the
inside, `imaging` adds what a microscope does. All options are in `options`; the same seed gives the same volume.
"""
