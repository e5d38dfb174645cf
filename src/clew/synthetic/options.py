"""What a synthetic volume is to look like."""

from dataclasses import dataclass

from clew.ranges import Fraction, NotNegative, Positive
from clew.space import Lengths

VOXEL_SIZE: Lengths = (10.0, 10.0, 10.0)
"""Voxel size (z, y, x) in nm of a synthetic volume for which nobody says another."""


@dataclass(frozen=True)
class SyntheticOptions:
    """Tissue, image and defects of a synthetic electron microscopy volume.

    The defaults imitate FIB-SEM of fly neuropil at 10 nm (FIB-25); the defects of serial sections are off.

    Parameters
    ----------
    thinnest : float
        Diameter of the thinnest neurites in nm.
    thickest : float
        Diameter of the thickest neurites in nm; less in a small volume, so that several neurites fit.
    branching : float
        Mean number of branches per micrometre of neurite.
    roughness : float
        How far outlines wander from round tubes, in nm.
    membrane : float
        Thickness in nm of the dark double membrane between two neighbours.
    mitochondria : float
        Fraction of the volume that mitochondria take, as far as the neurites have room for them.
    synapses : float
        Synapses per cubic micrometre.
    organelles : float
        Small membrane-bound organelles per cubic micrometre.
    texture : float
        Strength of vesicles, microtubules and speckle in the cytoplasm; 1 = as in FIB-25.
    noise : float
        Strength of shot and detector noise; 1 = as in FIB-25.
    blur : float
        Width of the point spread in voxels (standard deviation).
    drift : float
        Slow change of gain over the volume and from section to section, as a fraction.
    missing_sections : float
        Fraction of the sections that are black.
    faint_sections : float
        Fraction of the sections with low contrast.
    soiled_sections : float
        Fraction of the sections with a dark fold or a cloud of dirt.
    section_shift : float
        Standard deviation of the sideways shift of each section, image and truth alike, in nm.

    Examples
    --------
    >>> options = clew.SyntheticOptions(missing_sections=0.5)
    >>> volume = clew.synthesize((16, 16, 16), voxel_size=(40, 4, 4), options=options)
    >>> volume.raw.shape
    (16, 16, 16)
    """

    thinnest: Positive = 60.0
    thickest: Positive = 600.0
    branching: NotNegative = 0.5
    roughness: NotNegative = 14.0
    membrane: Positive = 25.0
    mitochondria: Fraction = 0.1
    synapses: NotNegative = 2.0
    organelles: NotNegative = 3.0
    texture: NotNegative = 1.0
    noise: NotNegative = 1.0
    blur: NotNegative = 0.85
    drift: Fraction = 0.04
    missing_sections: Fraction = 0.0
    faint_sections: Fraction = 0.0
    soiled_sections: Fraction = 0.0
    section_shift: NotNegative = 0.0
