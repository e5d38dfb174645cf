"""Tiled prediction of affinities: the same result for every size of tiles.

Source: arXiv 1709.02974, section 2.1.
"""

import itertools
import math
import operator
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import reduce
from typing import NamedTuple, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from clew.arrays import as_array, as_box, as_triple, as_whole, is_array
from clew.errors import InputError
from clew.network.bundled import bundled_names
from clew.network.checkpoint import Checkpoint
from clew.network.device import resolve_device
from clew.network.options import Precision, PredictionOptions, Runtime, TestTimeAugmentation, UNetOptions
from clew.network.precision import autocast, uses_bfloat16
from clew.network.predictor import Predictor, predict_part, prepare_predictor, round_down, round_up
from clew.network.runtime import decide_runtime, may_choose
from clew.network.symmetries import Read, Symmetry, symmetries
from clew.network.unet import UNet
from clew.space import Box, Lengths, Triple, triple

LARGEST_TILE = 2**23
"""Output voxels of a tile where the user says nothing: 256 × 256 × 128."""
BYTES_A_VOXEL = {"bfloat16": 330, "float32": 560}
"""Memory that prediction takes for each output voxel of a tile, its context included, as measured with the bundled network."""
BYTES_OF_NETWORK = 700_000_000
"""Memory that it takes beside the tile: libraries and weights."""


class Tile(NamedTuple):
    """One predicted tile: its box in the volume, and affinities (3, z, y, x) uint8."""

    box: Box
    affinities: NDArray[np.uint8]


def predict_affinities(
    network: UNet,
    raw: NDArray[np.uint8],
    *,
    box: Box | None = None,
    options: PredictionOptions = PredictionOptions(),
    voxel_size: Lengths | None = None,
) -> NDArray[np.uint8]:
    """Predict the affinities of a raw volume, or of a box in it, tile by tile.

    Exact at block borders, to within 1/255 (floating-point summation; in bfloat16 a few in a million to within 3/255); volume
    borders are reflect-padded.

    Parameters
    ----------
    network : UNet
        Its offsets must contain the three nearest neighbours.
    raw : (z, y, x) uint8
        An array, or anything that is sliced like one.
    box : Box or three slices (z, y, x), optional
        Part to predict; the raw around it serves as context. The whole volume by default.
    options : PredictionOptions
        Tile, device, precision, runtime and test-time augmentation. A tile is rounded up to the total pooling factor.
    voxel_size : (z, y, x) floats, optional
        In nm. Test-time augmentation over transposes (`all`) needs it: these exchange axes of equal voxel size only.

    Returns
    -------
    (3, z, y, x) uint8
        0..255 = 0..1, channels for offsets (-1,0,0), (0,-1,0), (0,0,-1).

    Raises
    ------
    InputError
        For raw of another type or shape, a box that leaves it, a tile or voxel size of 0 or less, a network without the
        three offsets, or one that gives values that are no numbers; for `all` without a voxel size.

    Examples
    --------
    >>> network = clew.UNet(clew.PRESETS["tiny"])
    >>> raw = np.random.default_rng(0).integers(0, 256, (16, 16, 16), np.uint8)
    >>> affinities = clew.predict_affinities(network, raw)
    >>> affinities.shape, affinities.dtype
    ((3, 16, 16, 16), dtype('uint8'))
    """
    raw = raw if is_array(raw) else as_array(raw, "raw")
    check_raw_layout(raw.shape, raw.dtype)
    shape = (raw.shape[0], raw.shape[1], raw.shape[2])
    box = as_box((slice(None),) * 3 if box is None else box, shape, "box")
    size = None if voxel_size is None else as_triple(voxel_size, "voxel_size")
    options = replace(check_prediction(options), tile=_checked_tile(options.tile))
    if may_choose(options, box):
        options = decide_runtime(network, raw.__getitem__, shape, box, options).options
    tiles = predict_tiles(network, raw.__getitem__, shape, box=box, options=options, voxel_size=size)
    return put_together(tiles, box)


def put_together(tiles: Iterable[Tile], box: Box) -> NDArray[np.uint8]:
    """Affinities (3, z, y, x) of a box from the tiles that cover it."""
    affinities = np.empty((3, *box.shape), np.uint8)
    for part, values in tiles:
        affinities[(slice(None), *part.within(box))] = values
    return affinities


def predict_tiles(
    network: UNet,
    read: Read,
    shape: Triple,
    *,
    box: Box | None = None,
    options: PredictionOptions = PredictionOptions(),
    voxel_size: Lengths | None = None,
) -> Iterator[Tile]:
    """Predict the tiles of a volume of the given shape one after the other.

    `read(box)` reads raw.

    The network's tiles start at multiples of the pooling factor, counted from the volume's corner, so every voxel sees the
    same pooling grid and full context whatever the tile and the box. A mirrored volume has its own corner: each symmetry
    of test-time augmentation sees one grid for the whole volume, and the average keeps this property.

    PyTorch predicts where the runtime is `auto`: to choose one is for `decide_runtime`.
    """
    device = resolve_device(options.device)
    seen = symmetries(options.test_time_augmentation, voxel_size)
    predictor = prepare_predictor(network, device, options)
    for part in tile_grid(network.options, box or Box.whole(shape), options.tile):
        with torch.inference_mode(), autocast(device, options.precision):
            total = reduce(operator.iadd, (_predict_seen(predictor, read, shape, part, symmetry) for symmetry in seen))
            if not total.sum().isfinite():
                raise InputError("the network gives values that are no numbers (NaN): its weights are damaged")
            values = total.mul_(255 / len(seen)).round_().to(torch.uint8).cpu().numpy()
        yield Tile(part, values)


def tile_grid(options: UNetOptions, box: Box, tile: Triple | None = None) -> Iterator[Box]:
    """Boxes of the tiles that cover `box`, one after the other."""
    yield from itertools.starmap(Box, itertools.product(*tile_edges(options, box, tile)))


def tile_edges(options: UNetOptions, box: Box, tile: Triple | None = None) -> list[list[slice]]:
    """Edges of the tiles along z, y, x.

    They start at multiples of the pooling factor, in steps of `tile` rounded up to it.
    """
    wanted = tile or _default_tile(options, box)
    steps = [round_up(size, factor) for size, factor in zip(wanted, options.factor, strict=True)]
    axes = []
    for part, step, factor in zip(box, steps, options.factor, strict=True):
        starts = range(round_down(part.start, factor), part.stop, step)
        axes.append([slice(max(start, part.start), min(start + step, part.stop)) for start in starts])
    return axes


def memory_of_tiles(shape: Triple, tile: Triple | None, *, device: str, precision: Precision) -> int:
    """Bytes that a process needs to predict a part of this shape tile by tile."""
    voxels = min(math.prod(shape), LARGEST_TILE)
    if tile is not None:
        voxels = math.prod(min(edge, size) for edge, size in zip(tile, shape, strict=True))
    kind = resolve_device(device).partition(":")[0]
    return BYTES_OF_NETWORK + BYTES_A_VOXEL["bfloat16" if uses_bfloat16(kind, precision) else "float32"] * voxels


def check_raw(shape: tuple[int, ...], dtype: np.dtype, checkpoint: Checkpoint, voxel_size: Lengths) -> None:
    """Refuse raw that the network cannot or should not see.

    Raw must be (z, y, x) uint8, at least as long as the network's context on each axis, and of about the voxel size that
    the network was trained for (within a quarter).
    """
    check_raw_layout(shape, dtype)
    trained = checkpoint.voxel_size
    if any(not 0.8 <= have / want <= 1.25 for have, want in zip(voxel_size, trained, strict=True)):
        raise InputError(
            f"raw has voxels of {voxel_size} nm, the network was trained for {trained} nm (z, y, x); "
            "give --voxel-size if the file is wrong, choose another network with --checkpoint (clew comes with "
            f"{', '.join(bundled_names())}), or train one for this voxel size"
        )
    context = checkpoint.network.options.context
    if any(size < need for size, need in zip(shape, context, strict=True)):
        raise InputError(f"raw of shape {shape} is smaller than the network's context of {context} voxels (z, y, x)")


def check_raw_layout(shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Refuse raw that is not (z, y, x) uint8, or holds no voxel."""
    if len(shape) != 3 or 0 in shape:
        raise InputError(
            f"raw must be (z, y, x) with voxels, not of shape {shape}; choose a channel: clew convert --channel 0"
        )
    if dtype != np.uint8:
        raise InputError(f"raw must be uint8, not {dtype}; convert it with clew convert --dtype uint8")


def check_prediction(options: PredictionOptions) -> PredictionOptions:
    """Refuse words that no option knows, and return the options."""
    known = {"precision": Precision, "runtime": Runtime, "test_time_augmentation": TestTimeAugmentation}
    for name, kind in known.items():
        given, words = getattr(options, name), get_args(kind)
        if given not in words:
            raise InputError(f"{name} must be one of {', '.join(words)}, not {given!r}")
    return options


def _checked_tile(tile: Triple | None) -> Triple | None:
    if tile is None:
        return None
    if not isinstance(tile, Sequence | np.ndarray) or len(tile) != 3:
        raise InputError(f"tile must be three numbers of voxels (z, y, x), not {tile!r}")
    return triple(as_whole(size, "tile", 1) for size in tile)


def _predict_seen(predictor: Predictor, read: Read, shape: Triple, part: Box, symmetry: Symmetry) -> torch.Tensor:
    """Affinities (3, z, y, x) float32 of a part, as predicted under a symmetry."""
    seen = symmetry.see_box(symmetry.widen(part), shape)
    affinities = predict_part(predictor, symmetry.see_through(read, shape), symmetry.see_shape(shape), seen)
    return symmetry.restore(affinities)


def _default_tile(options: UNetOptions, box: Box) -> Triple:
    """The box, halved along its longest axis until a tile is small enough.

    So tiles overlap little and take two or three gigabytes.
    """
    sizes = list(box.shape)
    while math.prod(sizes) > LARGEST_TILE:
        longest = sizes.index(max(sizes))
        sizes[longest] = -(-sizes[longest] // 2)
    return triple(round_up(size, factor) for size, factor in zip(sizes, options.factor, strict=True))
