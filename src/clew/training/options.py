"""Options of training; the defaults suit a small network on two cores."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Interval


@dataclass(frozen=True)
class AugmentationOptions:
    """Random changes of a training crop (arXiv 1709.02974, section 3 and supplement).

    Parameters
    ----------
    mirror
        Mirror each axis with probability one half.
    transpose
        Permute the axes `in-plane` (y, x), `all` (isotropic data), or `none`.
    warp_probability
        Share of crops that are rotated in the plane and deformed elastically.
    elastic_spacing
        Voxels between the control points of the elastic deformation.
    elastic_jitter
        Standard deviation of a control point's displacement in voxels.
    intensity_scale
        Contrast about the crop's mean is multiplied by U[1 - s, 1 + s].
    intensity_shift
        Brightness is shifted by U[-s, s]; raw is in [-1, 1].
    noise
        White noise of a standard deviation U[0, noise] is added.
    blur
        Half of the crops are blurred by a Gaussian of U[0, blur] voxels.
    """

    mirror: bool = True
    transpose: Literal["none", "in-plane", "all"] = "all"
    warp_probability: Annotated[float, Interval(ge=0, le=1)] = 0.5
    elastic_spacing: Annotated[int, Ge(4)] = 24
    elastic_jitter: Annotated[float, Ge(0)] = 2.0
    intensity_scale: Annotated[float, Interval(ge=0, le=1)] = 0.3
    intensity_shift: Annotated[float, Ge(0)] = 0.15
    noise: Annotated[float, Ge(0)] = 0.05
    blur: Annotated[float, Ge(0)] = 0.8


@dataclass(frozen=True)
class TrainingOptions:
    """How a network is trained (arXiv 1709.02974, section 3.1; the deviations for small machines are named).

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
        Crops in each step.
    learning_rate
        Peak of the learning rate, reached after the warm-up and followed by a cosine to zero.
    warmup
        Steps of the linear warm-up.
    loss
        Voxel-wise loss before MALIS and of the auxiliary offsets: balanced binary cross-entropy or balanced squared error.
    malis_after
        Step from which constrained MALIS trains the nearest-neighbour affinities.
    malis_weight
        Weight of MALIS beside the voxel-wise loss, which stays on at weight 1 - malis_weight.
    boundary_steps
        Voxels by which each label is eroded to grow a background between objects.
    per_section
        Erode in the plane only, and deform elastically in the plane only: for anisotropic data.
    minimum_annotated
        Crops with a smaller share of annotated voxels are rejected.
    average_decay
        Decay of the running average of the weights, which is what is validated and saved.
    validate_every
        Steps between validations by segmentation.
    seed
        Seed of crops and augmentation.
    """

    steps: Annotated[int, Gt(0)] = 10_000
    crop: tuple[int, int, int] = (64, 64, 64)
    padding: Literal["valid", "same"] = "same"
    margin: Annotated[int, Ge(0)] = 4
    batch: Annotated[int, Gt(0)] = 1
    learning_rate: Annotated[float, Gt(0)] = 1e-3
    warmup: Annotated[int, Ge(0)] = 200
    loss: Literal["cross-entropy", "squared-error"] = "cross-entropy"
    malis_after: Annotated[int, Ge(0)] = 7_000
    malis_weight: Annotated[float, Interval(ge=0, le=1)] = 0.5
    boundary_steps: Annotated[int, Ge(0)] = 1
    per_section: bool = False
    minimum_annotated: Annotated[float, Interval(ge=0, le=1)] = 0.5
    average_decay: Annotated[float, Interval(ge=0, lt=1)] = 0.998
    validate_every: Annotated[int, Gt(0)] = 500
    seed: int = 0
