"""One file a format: how each is found, opened, listed and written.

A format gives an array that is read by boxes (`Stored`) and what its metadata say of axes, voxel size and offset; `open` and
`save`, one floor above, choose the format by the path. Only these files know h5py and tifffile.
"""
