"""Tasks run after what they read from, in threads and processes too; the first error ends all."""

from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context

import numpy as np
import pytest
from benchmarks.folder_store import FolderStore

from clew.blockwise.block import Domain
from clew.blockwise.grid import Grid
from clew.blockwise.store import MemoryStore
from clew.blockwise.tasks import Task, run_pool, run_serial
from clew.segmentation.in_blocks.segment import memory_store, segmentation_tasks
from clew.segmentation.in_blocks.tree import load_tree
from clew.segmentation.options import AgglomerationOptions, CutOptions, FragmentOptions, SegmentationOptions

WHOLE = Domain.whole((1, 1, 1))


def note(store, *, name, reads):
    for key in reads:
        store.load(key)
    store.save((name,), {"done": np.ones(1)})


def diamond():
    links = {"last": ("left", "right"), "left": ("first",), "right": ("first",), "first": ()}
    return [
        Task(
            partial(note, name=name, reads=[(other,) for other in reads]),
            tuple((other,) for other in reads),
            ((name,),),
        )
        for name, reads in links.items()
    ]


@pytest.mark.parametrize("seed", [None, 0, 1, 2])
def test_order_follows_what_is_read(seed):
    store = MemoryStore(WHOLE, {})
    run_serial(diamond(), store, rng=None if seed is None else np.random.default_rng(seed))
    assert len(store.tables) == 4
    with ThreadPoolExecutor(2) as pool:
        run_pool(diamond(), MemoryStore(WHOLE, {}), pool, wave=2)


def test_circular_dependencies_are_refused():
    tasks = [Task(lambda store: None, (("b",),), (("a",),)), Task(lambda store: None, (("a",),), (("b",),))]
    with pytest.raises(ValueError, match="2 tasks"):
        run_serial(tasks, MemoryStore(WHOLE, {}))


def test_the_first_error_ends_all():
    tasks = [*diamond(), Task(partial(note, name="odd", reads=[("nothing",)]), (("left",),), (("odd",),))]
    with ThreadPoolExecutor(1) as pool, pytest.raises(KeyError):
        run_pool(tasks, MemoryStore(WHOLE, {}), pool, wave=1)


def test_processes_write_what_memory_holds(tmp_path):
    rng = np.random.default_rng(0)
    shape = (14, 20, 22)
    affinities = rng.integers(0, 256, (3, *shape), dtype=np.uint8)
    grid = Grid(Domain.whole(shape), (8, 8, 24))
    fragments = FragmentOptions(seed_window=3, distance_cap=2)
    options = SegmentationOptions(fragments, AgglomerationOptions("mean"), CutOptions(minimum_size=4))
    tasks = segmentation_tasks(grid, options)
    memory = memory_store(grid, affinities)
    for name, values in memory.volumes.items():
        np.save(tmp_path / f"{name}.npy", values)
    run_serial(tasks, memory)
    folder = FolderStore(tmp_path, grid.domain)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        run_pool(tasks, folder, pool, wave=4)
    for name in ("fragments", "segmentation"):
        np.testing.assert_array_equal(folder.read(name, grid.block((0, 0, 0), grid.top).owned), memory.volumes[name])
    np.testing.assert_array_equal(load_tree(folder, "mean").merges, load_tree(memory, "mean").merges)
    assert memory.volumes["segmentation"].any()
