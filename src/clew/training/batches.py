"""Batches of training crops, prepared in threads while the device works."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clew.space import Box, Lengths, Triple
from clew.training.descriptors import descriptor_targets
from clew.training.options import TrainingOptions
from clew.training.sampling import Crop
from clew.training.targets import affinity_targets, split_components

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batch(NamedTuple):
    """Tensors of a forward pass.

    Parameters
    ----------
    raw : (batch, 1, z, y, x) float32
    labels : (batch, z, y, x) uint64
        Split into components.
    targets : (batch, offset, z, y, x) bool
        Target affinities.
    valid : (batch, offset, z, y, x) bool
        Pairs that count.
    starts : (batch, 3) int64
        Voxels (z, y, x) at which the grids of MALIS windows have a corner.
    descriptors : (batch, 10, z, y, x) float32
        Empty where local shape descriptors are not trained.
    thin : (batch, offset, z, y, x) bool
        Pairs of which a voxel lies in a thin neurite. Empty where that does not count.
    """

    raw: Tensor
    labels: NDArray[np.uint64]
    targets: Tensor
    valid: Tensor
    starts: NDArray[np.int64]
    descriptors: Tensor = torch.empty(0)
    thin: Tensor = torch.empty(0)

    def to(self, device: str) -> "Batch":
        """The batch with its tensors on a device; labels stay where MALIS is computed."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pinned(self) -> "Batch":
        """The batch in memory that a GPU can read while it works."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        return self._replace(
            **{name: change(part) for name, part in self._asdict().items() if isinstance(part, Tensor)}
        )


def collate(crops: list[Crop], offsets: tuple[Triple, ...], margin: int) -> Batch:
    """Put a list of crops into one batch.

    Pairs nearer than `margin` to a face of their crop bring no loss.
    """
    pairs = [affinity_targets(crop.labels, offsets, trimmed(crop.mask, margin)) for crop in crops]
    raw = torch.from_numpy(np.stack([crop.raw for crop in crops])[:, None])
    return Batch(
        raw.contiguous(memory_format=torch.channels_last_3d),
        np.stack([split_components(crop.labels) for crop in crops]),
        torch.from_numpy(np.stack([targets for targets, _ in pairs])),
        torch.from_numpy(np.stack([valid for _, valid in pairs])),
        np.stack([crop.start for crop in crops]),
        thin=torch.from_numpy(np.stack([thin_pairs(crop.thin, offsets) for crop in crops])),
    )


def thin_pairs(thin: NDArray[np.bool_], offsets: tuple[Triple, ...]) -> NDArray[np.bool_]:
    """Pairs (v, v + offset) of which at least one voxel is thin, (offset, z, y, x)."""
    pairs, whole = np.repeat(thin[None], len(offsets), axis=0), Box.whole(thin.shape)
    for channel, offset in enumerate(offsets):
        there = whole.shifted(offset).overlap(whole)
        pairs[channel][there.within(whole.shifted(offset))] |= thin[there]
    return pairs


def describe(crops: list[Crop], options: TrainingOptions, voxel_size: Lengths) -> Tensor:
    """Local shape descriptors (batch, 10, z, y, x) of a list of crops.

    They are 0 where they are not trained.
    """
    described = [
        descriptor_targets(crop.surroundings, trimmed(crop.mask, options.margin), options.descriptor_sigma, voxel_size)
        for crop in crops
    ]
    return torch.from_numpy(np.stack(described))


def trimmed(mask: NDArray[np.bool_], margin: int) -> NDArray[np.bool_]:
    """The mask (z, y, x) without the voxels nearer than `margin` to a face."""
    less = (-margin, -margin, -margin)
    inner = Box.whole(mask.shape).grown(less, less)
    result = np.zeros_like(mask)
    result[inner] = mask[inner]
    return result


def prepared_ahead(
    prepare: Callable[[Item], Result], items: Iterable[Item], threads: int, ahead: int
) -> Generator[Result]:
    """Results of `prepare` for all items in their order, computed ahead in threads.

    At most `ahead` items are prepared before they are wanted.
    """
    items = iter(items)
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            waiting.extend(pool.submit(prepare, item) for item in islice(items, ahead))
            while waiting:
                result = waiting.popleft().result()
                waiting.extend(pool.submit(prepare, item) for item in islice(items, 1))
                yield result
        finally:
            for future in waiting:
                future.cancel()
