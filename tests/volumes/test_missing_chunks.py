"""Chunks that are missing: lost, in what clew wrote; the fill value, in formats of others, as long as the volume is there."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr

from clew import pipeline
from clew.errors import InputError
from clew.volumes import create_volume, open_volume, save_volume
from clew.volumes.formats.chunked import ALL_CHUNKS
from clew.volumes.volume import first_line
from volumes.foreign import write_cubes, write_precomputed, write_tensorstore

VOXEL_SIZE = (40.0, 4.0, 4.0)
DATA = np.ones((8, 9, 10), np.uint8)
RECORD = {"stage": "predict", "parameters": {"raw": "raw.zarr", "affinities": "affinities.zarr"}}


def chunks(volume: Path) -> list[Path]:
    return sorted(file for file in (volume / "s0" / "c").rglob("*") if file.is_file())


@pytest.mark.parametrize("sharded", [False, True])
def test_chunks_of_zeros_are_stored_also_where_nobody_wrote(tmp_path, monkeypatch, sharded):
    monkeypatch.setattr("clew.volumes.formats.ome_zarr.SHARD_WHERE_CHUNKS", 4 if sharded else 512)
    path, shape = tmp_path / "a.zarr", (130, 70, 200)
    with create_volume(path, shape=shape, dtype="uint8", voxel_size=VOXEL_SIZE) as volume:
        volume[:64, :, :64] = np.zeros((64, 70, 64), np.uint8)
        volume[5:9, 60:, 190:] = np.ones((4, 10, 10), np.uint8)
    expected = np.zeros(shape, np.uint8)
    expected[5:9, 60:, 190:] = 1
    assert len(chunks(path)) == (1 if sharded else 3 * 2 * 4)
    np.testing.assert_array_equal(open_volume(path).read(), expected)
    np.testing.assert_array_equal(zarr.open_group(path, mode="r")["s0"][:], expected)


@pytest.mark.parametrize("value", [0, 7])
def test_a_chunk_that_was_lost_is_refused(tmp_path, value):
    path = tmp_path / "a.zarr"
    save_volume(path, np.full((70, 8, 8), value, np.uint8), voxel_size=VOXEL_SIZE, attributes=RECORD)
    chunks(path)[1].unlink()
    volume = open_volume(path)
    assert (volume[:64] == value).all()
    wanted = rf"a\.zarr/s0 cannot be read: .*{path}/s0/c/1/0/0\" is missing; .*: clew predict with --overwrite$"
    for box in (np.s_[60:70], np.s_[69, 0, 0], ...):
        with pytest.raises(InputError, match=wanted):
            volume.read(box)


def test_a_chunk_that_was_lost_from_a_shard_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("clew.volumes.formats.ome_zarr.SHARD_WHERE_CHUNKS", 1)
    save_volume(tmp_path / "a.zarr", np.zeros((300, 8, 8), np.uint8), voxel_size=VOXEL_SIZE)
    assert len(chunks(tmp_path / "a.zarr")) == 2
    chunks(tmp_path / "a.zarr")[1].unlink()
    volume = open_volume(tmp_path / "a.zarr")
    assert not volume[:256].any()
    with pytest.raises(InputError, match="is missing"):
        volume.read()


def test_the_commands_refuse_what_lacks_a_chunk(tmp_path):
    pipeline.synthesize(str(tmp_path / "raw.zarr"), str(tmp_path / "truth.zarr"), shape=(16, 16, 80))
    shutil.copytree(tmp_path / "truth.zarr", tmp_path / "lost.zarr")
    chunks(tmp_path / "lost.zarr")[1].unlink()
    with pytest.raises(InputError, match="is missing; .*: clew synthesize with --overwrite"):
        pipeline.evaluate(str(tmp_path / "lost.zarr"), str(tmp_path / "truth.zarr"))
    with pytest.raises(InputError, match="is missing"):
        pipeline.convert(str(tmp_path / "lost.zarr"), str(tmp_path / "copy.zarr"))
    assert not (tmp_path / "copy.zarr").exists()


def test_an_older_output_that_does_not_say_so_is_read_as_before(tmp_path):
    save_volume(tmp_path / "a.zarr", np.ones((70, 8, 8), np.uint8), voxel_size=VOXEL_SIZE)
    metadata = tmp_path / "a.zarr/s0/zarr.json"
    document = json.loads(metadata.read_text())
    assert document["attributes"].pop(ALL_CHUNKS) is True
    metadata.write_text(json.dumps(document))
    chunks(tmp_path / "a.zarr")[1].unlink()
    assert open_volume(tmp_path / "a.zarr").read().sum() == 64**2


def n5_with_a_gap(folder: Path) -> None:
    write_tensorstore("n5", folder, DATA.T, metadata={"blockSize": [4, 4, 4], "compression": {"type": "raw"}})
    (folder / "0/0/0").unlink()


def zarr2_with_a_gap(folder: Path) -> None:
    zarr.create_array(folder, data=DATA, chunks=(4, 4, 4), zarr_format=2)
    (folder / "0.0.0").unlink()


def zarr3_with_a_gap(folder: Path) -> None:
    zarr.create_array(folder, data=DATA, chunks=(4, 4, 4))
    (folder / "c/0/0/0").unlink()


def precomputed_with_a_gap(folder: Path) -> None:
    write_precomputed(folder, DATA, chunk_size=[4, 4, 4], key="a")
    (folder / "a/0-4_0-4_0-4").unlink()


def knossos_with_a_gap(folder: Path) -> None:
    write_cubes(folder, np.ones((130, 9, 10), np.uint8), missing={(0, 0, 0)})


FOREIGN = (n5_with_a_gap, zarr2_with_a_gap, zarr3_with_a_gap, precomputed_with_a_gap, knossos_with_a_gap)


@pytest.mark.parametrize("write", FOREIGN)
def test_missing_chunks_of_other_programs_are_read_as_the_fill_value(tmp_path, write):
    write(tmp_path / "a")
    volume = open_volume(tmp_path / "a", voxel_size=VOXEL_SIZE)
    for _ in range(2):
        assert not volume[:4, :4, :4].any()
        assert volume[-1].all()
    shutil.move(tmp_path / "a", tmp_path / "b")
    with pytest.raises(InputError):
        volume[:4, :4, :4]
    shutil.move(tmp_path / "b", tmp_path / "a")
    assert not volume[:4, :4, :4].any()


@pytest.mark.parametrize("write", FOREIGN)
def test_a_volume_that_vanishes_before_anything_was_read_is_an_error(tmp_path, write):
    write(tmp_path / "a")
    volume = open_volume(tmp_path / "a", voxel_size=VOXEL_SIZE)
    shutil.move(tmp_path / "a", tmp_path / "b")
    with pytest.raises(InputError):
        volume.read()


@pytest.mark.parametrize("insides", ["tensorstore_spec='{}'", "source locations='read.cc:343'"])
def test_messages_of_tensorstore_end_before_its_insides(insides):
    assert first_line(ValueError(f"NOT_FOUND: chunk is missing [{insides}]\nmore")) == "NOT_FOUND: chunk is missing"
