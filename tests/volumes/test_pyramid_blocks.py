"""Coarser scales in blocks equal those of the whole."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.blockwise.block import Domain
from clew.blockwise.grid import Grid
from clew.blockwise.store import MemoryStore
from clew.blockwise.tasks import run_serial
from clew.volumes.in_blocks import copy_tasks, scale_name, scale_tasks
from clew.volumes.pyramid import Scale, pool


class Volumes(MemoryStore):
    """Volumes of several shapes, each from its own corner on."""

    def read(self, volume, box):
        assert all(part.stop <= length for part, length in zip(box, self.volumes[volume].shape, strict=True))
        return self.volumes[volume][box]

    def write(self, volume, box, values):
        self.volumes[volume][box] = values


@settings(max_examples=60)
@given(
    st.tuples(*[st.integers(1, 20)] * 3), st.tuples(*[st.integers(1, 9)] * 3),
    st.lists(st.tuples(*[st.integers(1, 2)] * 3), max_size=3), st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_equals_the_whole(shape, block_shape, steps, seed):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 3, shape).astype(np.uint64)
    expected, scales = [values], [Scale(shape, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))]
    for factors in steps:
        expected.append(pool(expected[-1], factors))
        scales.append(Scale(expected[-1].shape, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), factors))
    domain = Domain.whole(shape)
    volumes = {scale_name("volume", number): np.zeros_like(found) for number, found in enumerate(expected)}
    store = Volumes(domain, volumes | {"source": values})
    run_serial(copy_tasks(Grid(domain, block_shape)) + scale_tasks("volume", scales, block_shape), store, rng=rng)
    for number, found in enumerate(expected):
        np.testing.assert_array_equal(store.volumes[scale_name("volume", number)], found)
