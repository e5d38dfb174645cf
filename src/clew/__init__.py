"""clew: from 3D electron microscopy volumes of brain tissue to segmented neurons."""

__version__ = "0.1.0"
