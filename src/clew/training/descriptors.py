"""Local shape descriptors: what an object looks like around each of its voxels.

They are an auxiliary training target.

Source: Sheridan et al., *Local shape descriptors for neuron segmentation*, Nature Methods 2023. A network that must also
say where the middle of its object lies, how it is stretched and how much of it is near learns affinities better.
"""

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from clew.arrays import as_triple
from clew.errors import InputError
from clew.kernels.moments import MOMENTS, object_moments
from clew.labels import Labels, as_labels
from clew.space import Box, Lengths, Triple, triple
from clew.training.targets import split_components

CUT = 3.0
"""The Gaussian window ends at this many standard deviations."""


def local_shape_descriptors(labels: ArrayLike, *, sigma: float, voxel_size: Lengths) -> NDArray[np.float32]:
    """Statistics of every voxel's own object in a Gaussian window around the voxel.

    The window is cut at 3 sigma. What lies outside the volume counts as another object: exact at block borders with a
    context of 3 sigma.

    Parameters
    ----------
    labels : (z, y, x) whole numbers
        0 = background.
    sigma : float
        Standard deviation of the window in nm; the paper has 80 for FIB-25 and 120 for zebra finch.
    voxel_size : (z, y, x) floats
        In nm.

    Returns
    -------
    (10, z, y, x) float32
        In [0, 1], 0 at background; channels as in `clew.network.options.DESCRIPTORS`:
        the offset from the voxel to the object's mean, 0.5 + offset / (2 sigma), clipped;
        variances along the axes / sigma², clipped;
        correlation coefficients, 0.5 + r / 2 (0.5 where the object has no extent);
        the object's share of the window's weight.

    Raises
    ------
    InputError
        If the labels are negative or not whole numbers, or sigma or the voxel size is not above 0.
    """
    volume = as_labels(labels, "labels")
    voxel_size = as_triple(voxel_size, "voxel_size")
    if not 0 < sigma < np.inf:
        raise InputError(f"sigma must be above 0 nm, not {sigma}")
    reaches = window_reach(sigma, voxel_size)
    windows = triple(_window(sigma / size, reach) for size, reach in zip(voxel_size, reaches, strict=True))
    return _normalise(object_moments(volume, _ids(volume), windows))


def window_reach(sigma: float, voxel_size: Lengths) -> Triple:
    """Voxels (z, y, x) that the window around a voxel reaches on each side."""
    return triple(int(CUT * sigma / size + 0.5) for size in voxel_size)


def descriptor_targets(
    surroundings: NDArray, trained: NDArray[np.bool_], sigma: float, voxel_size: Lengths
) -> NDArray[np.float32]:
    """Local shape descriptors of a training crop, 0 where `trained` is false.

    Each connected component of the annotated labels is an object, as for the affinities. The crop lies in the middle of
    its `surroundings` (labels, 0 where there is no annotation), which reach as far as the window: so its faces cut
    nothing off, but those of the annotated volume do.
    """
    described = local_shape_descriptors(split_components(surroundings), sigma=sigma, voxel_size=voxel_size)
    inner = Box.whole(surroundings.shape).middle(trained.shape)
    return np.where(trained, described[(slice(None), *inner)], np.float32(0))


def descriptor_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean squared error of descriptors inside objects.

    These are the voxels whose target size is above 0; the loss is 0 where there are none.

    Parameters
    ----------
    logits : (batch, 10, z, y, x) tensor
        Network output before the sigmoid.
    targets : (batch, 10, z, y, x) tensor
        From `descriptor_targets`.

    Returns
    -------
    scalar tensor
    """
    weights = (targets[:, -1:] > 0).float()
    errors = (torch.sigmoid(logits) - targets).square() * weights
    return errors.sum() / (weights.sum() * logits.shape[1]).clamp(min=1)


def _window(sigma: float, reach: int) -> NDArray[np.float32]:
    """Weights, weights × offset and weights × offset² of a Gaussian window.

    Offsets are in units of sigma, which is given in voxels; the weights sum to 1.
    """
    offsets = np.arange(-reach, reach + 1) / sigma
    weights = np.exp(-(offsets**2) / 2)
    weights /= weights.sum()
    return np.stack([weights, weights * offsets, weights * offsets**2]).astype(np.float32)


def _ids(volume: Labels) -> Labels:
    """The labels that occur, ascending, without 0.

    Only the first voxel of each run is looked up.
    """
    flat = volume.ravel()
    ids = np.unique(np.append(flat[:1], flat[1:][flat[1:] != flat[:-1]]))
    return ids[ids != 0]


def _normalise(moments: NDArray[np.float32]) -> NDArray[np.float32]:
    """Descriptors from weighted sums of offsets in units of sigma."""
    sums = dict(zip(MOMENTS, moments, strict=True))
    inside = sums["1"] > 0
    scale = np.divide(1, sums["1"], out=np.zeros_like(sums["1"]), where=inside)
    mean = {axis: sums[axis] * scale for axis in "zyx"}
    covariance = {pair: sums[pair] * scale - mean[pair[0]] * mean[pair[1]] for pair in MOMENTS if len(pair) == 2}
    descriptors = np.empty_like(moments)
    for channel, axis in enumerate("zyx"):
        descriptors[channel] = mean[axis] / 2 + 0.5 * inside
        descriptors[3 + channel] = covariance[axis + axis]
    for channel, (a, b) in enumerate((("z", "y"), ("z", "x"), ("y", "x"))):
        spread = np.sqrt(np.maximum(covariance[a + a] * covariance[b + b], 0))
        correlation = np.divide(covariance[a + b], spread, out=np.zeros_like(spread), where=spread > 0)
        descriptors[6 + channel] = correlation / 2 + 0.5 * inside
    descriptors[9] = sums["1"]
    return np.clip(descriptors, 0, 1, out=descriptors)
