"""Damaged inputs, damaged tables and volumes of a run itself: named, and mended to the same result."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from clew import pipeline
from clew.blockwise.engine import TasksFailedError
from clew.blockwise.ledger import Ledger
from clew.blockwise.store import DamagedError, read_table
from clew.volumes.formats import ome_zarr
from clew.volumes.open import open_volume
from clew.volumes.volume import Layout
from pipeline.block_runs import OPTIONS, assert_same, cut_off, flip, segment_whole

pytestmark = pytest.mark.compiled
CHUNKS = (1, 8, 16, 32)


NEAR = OPTIONS | {"distance_cap": 3, "seed_window": 3}
"""Each block reads only what is near to it."""


@pytest.fixture(scope="module")
def expected_of_near(affinities: Path) -> Path:
    return segment_whole(affinities, "near", NEAR)


def in_small_chunks(source: Path, path: Path, *, sharded: bool) -> list[Path]:
    """A copy of affinities; its files of chunks, the largest first."""
    volume = open_volume(source)
    layout = Layout(volume.shape, volume.dtype, "czyx", volume.voxel_size, volume.offset, CHUNKS)
    array = ome_zarr.create_array(path / "s0", layout, None if sharded else CHUNKS)
    array[tuple(slice(0, length) for length in volume.shape)] = volume.read()
    (path / "zarr.json").write_text(ome_zarr.group_metadata("affinities", {"s0": layout}, volume.attributes))
    return sorted(chunks(path), key=lambda file: -file.stat().st_size)


def chunks(volume: Path) -> list[Path]:
    return [file for file in (volume / "s0" / "c").rglob("*") if file.is_file()]


def hide(file: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read every file")
    file.chmod(0)


DAMAGES = {
    "a flipped bit in a shard": (True, lambda file: flip(file, 2000)),
    "a flipped bit in a chunk": (False, flip),
    "a chunk cut off": (False, cut_off),
    "a chunk that may not be read": (False, hide),
}


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_input_is_named_and_the_rest_is_done(
    affinities: Path, expected_of_near: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
):
    sharded, apply = DAMAGES[damage]
    monkeypatch.setattr(ome_zarr, "SHARD_WHERE_CHUNKS", 4)
    source, folder = tmp_path / "affinities.zarr", tmp_path / "blocks"
    chunk, *others = in_small_chunks(affinities, source, sharded=sharded)
    assert sharded == (not others)
    shutil.copy2(chunk, tmp_path / "whole")
    apply(chunk)
    with pytest.raises(TasksFailedError, match=r"box \d+:\d+,\d+:\d+,\d+:\d+ of affinities: .*affinities\.zarr/s0"):
        pipeline.segment_blocks(str(source), str(folder), **NEAR)
    done, failed = Ledger(folder).counts()
    assert failed.keys() == {"forest"}
    assert done["forest"] + failed["forest"] == 12
    assert done["face"] > 0
    chunk.unlink()
    shutil.copy2(tmp_path / "whole", chunk)
    pipeline.retry(str(folder))
    assert_same(folder, expected_of_near)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize(
    ("stage", "place", "writer", "damaged", "damage"),
    [
        ("fragments", "0-0-0", "forest/0-0-0-0", "pieces.zarr/s0/c/0/0/0", flip),
        ("segmentation", "1-2-1", "fragments/1-2-1", "fragments.zarr/s0/c/1/2/1", flip),
        ("segmentation", "1-2-1", "fragments/1-2-1", "fragments.zarr/s0/c/1/2/1", Path.unlink),
        ("segments", "1-0-0-0", "totals/1-0-0-0", "tables/totals/1-0-0-0.npz", flip),
        ("segments", "1-0-0-0", "totals/1-0-0-0", "tables/totals/1-0-0-0.npz", Path.unlink),
        ("joined", "0-0-0-0", "dust/0-1-1-0", "tables/dust/0-1-1-0.npz", Path.unlink),
    ],
)
def test_what_the_run_itself_wrote_is_checked_and_made_again(
    affinities: Path,
    expected: Path,
    tmp_path: Path,
    stage: str,
    place: str,
    writer: str,
    damaged: str,
    damage: Callable[[Path], None],
):
    folder, ledger = tmp_path / "blocks", Ledger(tmp_path / "blocks")
    pipeline.segment_blocks(str(affinities), str(folder), **OPTIONS)
    (folder / "done" / stage / place).unlink()
    damage(folder / damaged)
    with pytest.raises(TasksFailedError, match="DamagedError: .*clew retry makes it again"):
        pipeline.segment_blocks(str(affinities), str(folder), **OPTIONS)
    assert writer not in ledger.done()
    assert f"{stage}/{place}" in ledger.failures()[0].tasks
    pipeline.retry(str(folder))
    assert ledger.failures() == []
    assert_same(folder, expected)


def test_no_byte_of_a_table_can_change_unnoticed(tmp_path: Path):
    file, table = tmp_path / "table.npz", {"edges": np.arange(6).reshape(3, 2), "scores": np.ones(3, np.float32)}
    np.savez(file, **table)
    whole, noticed = file.read_bytes(), 0
    for place in range(len(whole)):
        flip(file, place)
        try:
            found = read_table(file)
        except DamagedError:
            noticed += 1
        else:
            assert all((found[name] == table[name]).all() for name in found)
        file.write_bytes(whole)
    assert noticed > len(whole) // 2
    for length in range(0, len(whole), 7):
        file.write_bytes(whole[:length])
        with pytest.raises(DamagedError):
            read_table(file)
