"""Options of training; the defaults suit a small network on two cores."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Interval

from clew.ranges import Fraction, NotNegative, Positive
from clew.space import THIN, TOPOLOGY_BORDER, Triple

Loss = Literal["cross-entropy", "squared-error"]
Spacing = Annotated[float, Ge(1)]


@dataclass(frozen=True)
class AugmentationOptions:
    """Random changes of a training crop.

    The defaults are for isotropic data; `SERIAL_SECTIONS` is the recipe for serial sections. Source: arXiv 1709.02974,
    section 3 and supplement.

    Parameters
    ----------
    mirror
        Mirror each axis with probability one half.
    transpose
        Permute the axes `in-plane` (y, x), `all` (isotropic data), or `none`.
    warp_probability
        Share of crops that are rotated, scaled and deformed elastically, as one resampling.
    rotate
        Rotate `in-plane` by U[0, 90] degrees, in `all` three dimensions by any rotation (isotropic data), or `none`.
    scaling
        Zoom by U[1 - s, 1 + s]; in the plane only in serial sections.
    elastic_spacing
        Voxels z,y,x between the control points of the elastic deformation.
    elastic_jitter
        Standard deviation of a control point's displacement along z,y,x in voxels.
    intensity_scale
        Contrast about the mean of the crop is multiplied by U[1 - s, 1 + s].
    intensity_shift
        Brightness is shifted by U[-s, s]; raw is in [-1, 1].
    noise
        White noise of a standard deviation U[0, noise] is added.
    blur
        Half of the crops are blurred by a Gaussian of U[0, blur] voxels.
    serial_sections
        The sections were cut and imaged one by one: contrast, brightness and blur change per section, and
        the defects below occur.
    missing_sections
        Share of sections that are black.
    faint_sections
        Share of sections whose contrast about their mean is multiplied by U[0.1, 0.5].
    soiled_sections
        Share of sections with a fold, dirt, precipitate or streaks.
    slipped_sections
        Share of sections that lie shifted in the plane, raw and labels together.
    shifted_sections
        Share of sections from which on all sections lie shifted, raw and labels together.
    largest_slip
        Pixels by which a section slips or shifts at most, along y and along x.

    Examples
    --------
    >>> clew.AugmentationOptions(rotate="none", blur=0.0).scaling
    0.1
    """

    mirror: bool = True
    transpose: Literal["none", "in-plane", "all"] = "all"
    warp_probability: Fraction = 0.5
    rotate: Literal["none", "in-plane", "all"] = "in-plane"
    scaling: Annotated[float, Interval(ge=0, le=0.5)] = 0.1
    elastic_spacing: tuple[Spacing, Spacing, Spacing] = (40.0, 40.0, 40.0)
    elastic_jitter: tuple[NotNegative, NotNegative, NotNegative] = (2.0, 2.0, 2.0)
    intensity_scale: Fraction = 0.3
    intensity_shift: NotNegative = 0.15
    noise: NotNegative = 0.05
    blur: NotNegative = 0.8
    serial_sections: bool = False
    missing_sections: Fraction = 0.03
    faint_sections: Fraction = 0.01
    soiled_sections: Fraction = 0.03
    slipped_sections: Fraction = 0.05
    shifted_sections: Fraction = 0.05
    largest_slip: Annotated[int, Ge(0)] = 10


NO_AUGMENTATION = AugmentationOptions(
    mirror=False, transpose="none", warp_probability=0.0, rotate="none", scaling=0.0, elastic_jitter=(0.0, 0.0, 0.0),
    intensity_scale=0.0, intensity_shift=0.0, noise=0.0, blur=0.0, missing_sections=0.0, faint_sections=0.0,
    soiled_sections=0.0, slipped_sections=0.0, shifted_sections=0.0,
)  # fmt: skip
"""Crops as they are in their volume."""

SERIAL_SECTIONS = AugmentationOptions(
    transpose="in-plane", elastic_spacing=(4.0, 40.0, 40.0), elastic_jitter=(0.0, 2.0, 2.0), serial_sections=True
)
"""The paper's augmentation of CREMI: sections stay flat and apart.

They have the defects of serial sections.

Examples
--------
>>> clew.SERIAL_SECTIONS.serial_sections, clew.SERIAL_SECTIONS.missing_sections
(True, 0.03)
"""


@dataclass(frozen=True)
class TrainingOptions:
    """How a network is trained.

    Source: arXiv 1709.02974, section 3.1; where small machines need something else, the option says so.

    Parameters
    ----------
    steps
        Optimiser steps.
    crop
        Edge of the training crop in voxels (z, y, x): network output for `valid` padding, network input for `same`.
    padding
        `valid` convolutions with full context as in the paper, or `same`: zeros
        outside the crop, several times cheaper on small crops.
    margin
        Voxels at each face of the crop that bring no loss (for `same` padding).
    batch
        Crops in each forward pass of a process.
    accumulate
        Forward passes of a process in each step, the gradients of which add up: the same as a batch so many times
        larger, in less memory. Two or more let a GPU work while MALIS is computed.
    learning_rate
        Peak of the learning rate, reached after the warm-up and followed by a cosine to zero.
    warmup
        Steps of the linear warm-up.
    loss
        Voxel-wise loss before MALIS and of the auxiliary offsets: balanced binary cross-entropy or balanced squared error.
    malis_after
        Step from which MALIS trains the nearest-neighbour affinities.
    malis_weight
        Weight of MALIS beside the voxel-wise loss, which stays on at weight 1 - malis_weight.
    malis_gradient
        Norm of MALIS's gradient as a share of that of the voxel-wise loss, both at the network's last layer, instead of
        malis_weight: MALIS is scaled to it in each forward pass, and the voxel-wise loss stays on in full.
    malis_passes
        2: constrained MALIS (the paper's); 1: MALIS on the affinities as they are, for comparison.
    malis_window
        Voxels z,y,x of the windows of a crop in which MALIS counts, on a grid that lies elsewhere in each crop; by default
        it counts in the whole crop.
    malis_whole_crop
        Share of MALIS in the whole crop beside that in its windows.
    malis_positive, malis_negative
        Weights of the passes: of the edges that split objects, and of those that merge them.
    malis_form
        What MALIS weighs: the squared error of an affinity (the paper's), or its cross-entropy.
    malis_errors_above
        Affinities that are nearer than this to their target bring no MALIS.
    thin_weight
        How much the pairs of voxels inside thin neurites weigh, in the voxel-wise loss and in the pass of MALIS that counts
        splits, where those inside others weigh 1; what all of them weigh together stays.
    thin_below
        Calibre in nm below which a neurite is thin: the width of the widest ball in it that holds the voxel.
    descriptor_weight
        Weight of the local shape descriptors as an auxiliary target (dense annotation only); 0 = without them.
    descriptor_sigma
        Standard deviation in nm of the Gaussian window of the descriptors.
    boundary_steps
        Voxels by which each label is eroded to grow a background between objects.
    per_section
        Erode in the plane only: for anisotropic data.
    volume_weights
        How often each volume is drawn from, in the order of the data; by default as its number of annotated voxels.
    minimum_annotated
        Crops with less than this share of the annotated voxels of their volume's best-annotated crop are rejected.
    minimum_foreground
        Crops with a smaller share of neuron among their annotated voxels are rejected.
    minimum_objects
        Crops with fewer neurons are rejected.
    average_decay
        Decay of the running average of the weights, which is what is validated and saved.
    validate_every
        Steps between validations by segmentation; the state is saved then, too.
    validation_surroundings
        Voxels around the held-out part that are segmented with it, so that its objects go on as in a whole volume.
    validation_border
        Truth within so many nm of a border between neurons is not scored: where exactly a membrane lies is not topology.
    snapshot_every
        Steps between pictures of raw, target, prediction and MALIS weights of one crop; 0 = none.
    seed
        Seed of crops and augmentation.

    Examples
    --------
    >>> options = clew.TrainingOptions(steps=2000, crop=(48, 48, 48), malis_after=1500)
    >>> options.learning_rate
    0.001
    """

    steps: Annotated[int, Gt(0)] = 10_000
    crop: Triple = (64, 64, 64)
    padding: Literal["valid", "same"] = "same"
    margin: Annotated[int, Ge(0)] = 4
    batch: Annotated[int, Gt(0)] = 1
    accumulate: Annotated[int, Gt(0)] = 1
    learning_rate: Positive = 1e-3
    warmup: Annotated[int, Ge(0)] = 200
    loss: Loss = "cross-entropy"
    malis_after: Annotated[int, Ge(0)] = 7_000
    malis_weight: Fraction = 0.5
    malis_gradient: NotNegative | None = None
    malis_passes: Literal[1, 2] = 2
    malis_window: Triple | None = None
    malis_whole_crop: Fraction = 0.0
    malis_positive: NotNegative = 1.0
    malis_negative: NotNegative = 1.0
    malis_form: Loss = "squared-error"
    malis_errors_above: Annotated[float, Interval(ge=0, lt=1)] = 0.0
    thin_weight: Positive = 1.0
    thin_below: Positive = THIN
    descriptor_weight: NotNegative = 0.0
    descriptor_sigma: Positive = 80.0
    boundary_steps: Annotated[int, Ge(0)] = 1
    per_section: bool = False
    volume_weights: tuple[NotNegative, ...] | None = None
    minimum_annotated: Fraction = 0.5
    minimum_foreground: Fraction = 0.0
    minimum_objects: Annotated[int, Ge(1)] = 1
    average_decay: Annotated[float, Interval(ge=0, lt=1)] = 0.998
    validate_every: Annotated[int, Gt(0)] = 500
    validation_surroundings: Annotated[int, Ge(0)] = 40
    validation_border: NotNegative = TOPOLOGY_BORDER
    snapshot_every: Annotated[int, Ge(0)] = 500
    seed: int = 0
