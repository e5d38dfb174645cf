"""Synthetic electron microscopy with truth."""

from clew.synthetic.options import SyntheticOptions as SyntheticOptions
from clew.synthetic.volume import SyntheticVolume as SyntheticVolume
from clew.synthetic.volume import synthesize as synthesize
