"""Layout of the HDF5 files of the CREMI challenge."""

CREMI_LAYOUT = ("volumes/raw", "volumes/labels/neuron_ids", "volumes/labels/mask")
"""Datasets of raw, labels and mask."""
