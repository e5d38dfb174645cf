"""Raw → affinities, by a 3D U-Net (arXiv 1709.02974, section 2.1).

`options` describes architectures, `unet` builds them, `checkpoint` keeps them in files, `bundled` has those that come with clew.
`prediction` predicts a volume tile by tile, so that the result does not depend on the tiles; `symmetries` averages over mirror
images. `in_blocks` is the same as tasks. Here and in training, and nowhere else, PyTorch is imported.
"""
