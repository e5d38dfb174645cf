"""Random changes of training crops: geometry as one resampling, then intensity.

Source: arXiv 1709.02974, supplement.

Rotation, zoom, elastic deformation, and the slips and shifts of serial sections are composed into one field of
coordinates, through which raw is sampled once by linear interpolation and labels once by nearest: by compiled loops, or by
PyTorch where the field is on a GPU.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation
from torch import Tensor

from clew.errors import InputError
from clew.kernels.resampling import fill_field, sample_linear, sample_nearest
from clew.space import Box, Triple
from clew.training import device_resampling
from clew.training.options import AugmentationOptions

Field: TypeAlias = NDArray[np.float32] | Tensor
"""(3, z, y, x) float32 coordinates in voxels; a tensor on the device where the crop is to be resampled."""
Volume = NDArray[np.uint8]


def check_augmentation(options: AugmentationOptions) -> None:
    """Refuse options that would turn or bend serial sections out of their plane."""
    if not options.serial_sections:
        return
    wrong = [f"--{name} in-plane" for name in ("transpose", "rotate") if getattr(options, name) == "all"]
    if options.elastic_jitter[0]:
        wrong.append(f"--elastic-jitter 0,{options.elastic_jitter[1]:g},{options.elastic_jitter[2]:g}")
    if wrong:
        raise InputError(f"serial sections must stay in their plane: give {' '.join(wrong)}")


def sampling_field(shape: Triple, rng: np.random.Generator, options: AugmentationOptions, device: str) -> Field | None:
    """Draw where to sample a crop, relative to its centre.

    The field is (3, z, y, x) float32 in voxels.

    A share of the crops is rotated, zoomed and deformed; every section of serial data may slip. None where nothing moves.

    Labels move with raw through slips and shifts too: as in the augmentation of the paper's authors (`ElasticAugment` of
    gunpowder), they are part of the deformation, so that each section's labels still show what is in its image, and a
    neuron's affinities across a slip are those of the overlap that is left.
    """
    warped = rng.random() < options.warp_probability
    matrix = _random_matrix(rng, options) if warped else np.eye(3)
    slips = section_slips(shape[0], rng, options)
    bent = warped and any(options.elastic_jitter)
    if not bent and not slips.any() and np.array_equal(matrix, np.eye(3)):
        return None
    coefficients, basis = _affine_terms(shape, matrix, slips)
    if bent:
        bends, weights = _random_bends(shape, rng, options)
        coefficients, basis = np.concatenate([coefficients, bends], 3), np.concatenate([basis, weights])
    if device != "cpu":
        return device_resampling.fill_field(coefficients, basis, device)
    return fill_field(coefficients, basis)


def _affine_terms(
    shape: Triple, matrix: NDArray[np.float64], slips: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Rotation, zoom and slips as coefficients (3, z, y, 2) and a basis (2, x).

    They are a constant and a slope along each row.
    """
    z, y, x = (np.arange(size) - (size - 1) / 2 for size in shape)
    constant = matrix[:, 0, None, None] * z[:, None] + matrix[:, 1, None, None] * y
    constant[1:] += slips.T[:, :, None]
    slope = np.broadcast_to(matrix[:, 2, None, None], constant.shape)
    return np.stack([constant, slope], axis=3, dtype=np.float32), np.stack([np.ones_like(x), x], dtype=np.float32)


def section_slips(sections: int, rng: np.random.Generator, options: AugmentationOptions) -> NDArray[np.int64]:
    """Displacements (section, 2) of sections in whole pixels y, x.

    A section slips alone, or takes all that follow with it.
    """
    slips = np.zeros((sections, 2), np.int64)
    if not options.serial_sections:
        return slips
    chances = rng.random(sections)
    moves = rng.integers(-options.largest_slip, options.largest_slip, (sections, 2), endpoint=True)
    slipped = chances < options.slipped_sections
    shifted = ~slipped & (chances < options.slipped_sections + options.shifted_sections)
    slips[shifted] = moves[shifted]
    slips = slips.cumsum(axis=0)
    slips[slipped] += moves[slipped]
    return slips


def _random_matrix(rng: np.random.Generator, options: AugmentationOptions) -> NDArray[np.float64]:
    """Rotation and zoom, applied to (z, y, x)."""
    matrix = np.eye(3)
    if options.rotate == "in-plane":
        angle = rng.uniform(0, np.pi / 2)
        matrix[1:, 1:] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    elif options.rotate == "all":
        matrix = Rotation.from_quat(rng.standard_normal(4)).as_matrix()
    zoom = rng.uniform(1 - options.scaling, 1 + options.scaling)
    matrix[1 if options.serial_sections else 0 :] /= zoom
    return matrix


def _random_bends(
    shape: Triple, rng: np.random.Generator, options: AugmentationOptions
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """An elastic deformation as coefficients (3, z, y, k) and a basis (k, x).

    Their product is the displacement.
    """
    over_z, over_y, over_x = (
        _spline_weights(size, spacing, rng.random())
        for size, spacing in zip(shape, options.elastic_spacing, strict=True)
    )
    points = rng.standard_normal((3, over_z.shape[1], over_y.shape[1], over_x.shape[1]))
    points *= np.reshape(options.elastic_jitter, (3, 1, 1, 1))
    bends = np.einsum("czjk,yj->czyk", np.einsum("cijk,zi->czjk", points, over_z), over_y)
    return bends.astype(np.float32), over_x.T.astype(np.float32)


def _spline_weights(size: int, spacing: float, phase: float) -> NDArray[np.float64]:
    """Weights (voxel, control point) of the cubic spline through control points.

    Source: Catmull and Rom, 1974.
    """
    place = np.arange(size) / spacing + phase
    first = place.astype(np.int64)
    t = place - first
    near = np.array([-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, -(t**2) + t**3]) / 2
    weights = np.zeros((size, first[-1] + 4))
    for step in range(4):
        weights[np.arange(size), first + step] = near[step]
    return weights


def sample_raw(raw: Volume, center: NDArray[np.float64], shape: Triple, field: Field | None) -> NDArray[np.float32]:
    """Interpolate raw (z, y, x) at `center + field`, as float32 in 0..255.

    Interpolation is trilinear; the volume is reflected at its faces.

    Without a field the voxels of the box of that shape around the centre, as they are.
    """
    if field is None:
        return _cut(raw, _box_around(center, shape)).astype(np.float32)
    if isinstance(field, Tensor):
        return device_resampling.sample_linear(raw, field, *_split(center))
    return sample_linear(raw, field, *_split(center))


def sample_labels(
    labels: NDArray, mask: NDArray[np.bool_], center: NDArray[np.float64], shape: Triple, field: Field | None
) -> tuple[NDArray, NDArray[np.bool_]]:
    """Labels and mask (z, y, x) at the voxels nearest to `center + field`.

    They are 0 and false outside the volume.

    The field may be larger than the shape: its central part is used.
    """
    if field is None:
        sampled, inside = np.zeros(shape, labels.dtype), np.zeros(shape, bool)
        box = _box_around(center, shape)
        part = box.overlap(Box.whole(labels.shape))
        sampled[part.within(box)], inside[part.within(box)] = labels[part], mask[part]
        return sampled, inside
    wanted = Box.whole(field.shape).middle(shape)
    if isinstance(field, Tensor):
        return device_resampling.sample_nearest(labels, mask, field[(slice(None), *wanted)], *_split(center))
    return sample_nearest(labels, mask, field, np.array(wanted.low), *_split(center), shape)


def _box_around(center: NDArray[np.float64], shape: Triple) -> Box:
    return Box.whole(shape).shifted(np.floor(center - (np.array(shape) - 1) / 2).astype(int).tolist())


def _split(center: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    base = np.floor(center)
    return base.astype(np.int64), (center - base).astype(np.float32)


def _cut(volume: Volume, box: Box) -> Volume:
    """A box of a volume, reflected where it leaves it."""
    if box.lies_in(Box.whole(volume.shape)):
        return volume[box]
    indices = []
    for axis, size in zip(box, volume.shape, strict=True):
        index = np.arange(axis.start, axis.stop) % max(2 * (size - 1), 1)
        indices.append(np.minimum(index, 2 * (size - 1) - index) if size > 1 else np.zeros_like(index))
    return volume[np.ix_(*indices)]


def random_order(rng: np.random.Generator, options: AugmentationOptions) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """A random transposition and the axes to mirror after it."""
    flips = tuple(axis for axis in range(3) if options.mirror and rng.random() < 0.5)
    orders = {"none": (0, 1, 2), "in-plane": (0, *rng.permutation([1, 2])), "all": tuple(rng.permutation(3))}
    return tuple(int(axis) for axis in orders[options.transpose]), flips


def change_intensity(
    raw: NDArray[np.float32], rng: np.random.Generator, options: AugmentationOptions
) -> NDArray[np.float32]:
    """Random contrast, brightness, blur and noise of raw in [-1, 1].

    Raw is (z, y, x) float32; serial sections change one by one.
    """
    sections = len(raw) if options.serial_sections else 1
    mean = raw.mean(axis=(1, 2), keepdims=True) if options.serial_sections else raw.mean()
    scale = 1 + rng.uniform(-options.intensity_scale, options.intensity_scale, (sections, 1, 1))
    shift = rng.uniform(-options.intensity_shift, options.intensity_shift, (sections, 1, 1))
    if options.blur and rng.random() < 0.5:
        width = rng.uniform(0, options.blur)
        raw = ndimage.gaussian_filter(raw, (0 if options.serial_sections else width, width, width), truncate=3.0)
    changed = raw * scale.astype(np.float32)
    changed += (mean * (1 - scale) + shift).astype(np.float32)
    if options.noise:
        noise = rng.standard_normal(raw.shape, np.float32)
        noise *= np.float32(rng.uniform(0, options.noise))
        changed += noise
    return changed
