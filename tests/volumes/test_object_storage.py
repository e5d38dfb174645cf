"""Volumes at s3:// and gs://, against servers on this machine that also fail, answer late, or are not there."""

import time

import numpy as np
import pytest

from clew import cli
from clew.errors import InputError
from clew.volumes.location import read_bytes, write_bytes
from clew.volumes.open import open_volume
from clew.volumes.save import create_volume, save_volume
from object_storage import Server, keys

DATA = np.random.default_rng(0).integers(1, 200, (70, 40, 130), np.uint8)
VOXEL_SIZE = (40, 8, 8)


@pytest.fixture(params=["s3", "google"])
def url(request: pytest.FixtureRequest) -> str:
    request.getfixturevalue(request.param)
    return {"s3": "s3://bucket/deep/a.zarr", "google": "gs://bucket/deep/a.zarr"}[request.param]


def test_what_is_written_is_read(url: str):
    save_volume(url, DATA, voxel_size=VOXEL_SIZE, offset=(80, 0, 16), attributes={"stage": "test"})
    volume = open_volume(url)
    np.testing.assert_array_equal(volume.read(), DATA)
    assert (volume.voxel_size, volume.offset) == ((40, 8, 8), (80, 0, 16))
    assert volume.attributes["stage"] == "test"
    np.testing.assert_array_equal(open_volume(f"{url}/s0")[5:7, :, 3], DATA[5:7, :, 3])


def test_an_output_is_replaced_at_the_end_only(url: str):
    save_volume(url, DATA, voxel_size=VOXEL_SIZE)
    with pytest.raises(InputError, match="exists already"):
        save_volume(url, DATA, voxel_size=VOXEL_SIZE)
    with create_volume(url, shape=(2, 3, 4), dtype="uint8", voxel_size=VOXEL_SIZE, overwrite=True) as volume:
        volume[:] = DATA[:2, :3, :4]
        assert open_volume(url).shape == DATA.shape
    np.testing.assert_array_equal(open_volume(url).read(), DATA[:2, :3, :4])
    assert read_bytes(f"{url}/s0", "zarr.json") is None, "the array that was replaced"


def test_a_failure_leaves_nothing(s3: Server, backend: int):
    created = create_volume("s3://bucket/a.zarr", shape=DATA.shape, dtype="uint8", voxel_size=VOXEL_SIZE)
    with pytest.raises(RuntimeError, match="stop"), created as volume:
        volume[:64, :, :64] = DATA[:64, :, :64]
        assert len(keys(backend)) == 2
        raise RuntimeError("stop")
    assert keys(backend) == []


def test_a_zarr_that_is_no_ome_zarr_is_not_replaced(s3: Server, backend: int):
    write_bytes("s3://bucket/a.zarr", "zarr.json", b'{"zarr_format": 3, "node_type": "array"}')
    with pytest.raises(InputError, match="not an OME-Zarr, so it is not replaced"):
        save_volume("s3://bucket/a.zarr", DATA, voxel_size=VOXEL_SIZE, overwrite=True)
    assert keys(backend) == ["a.zarr/zarr.json"]


def test_requests_that_fail_now_and_then_are_repeated(s3: Server):
    counter = iter(range(10**6))
    s3.misbehave = lambda method, path: 503 if next(counter) % 9 == 1 else time.sleep(0.02)
    save_volume("s3://bucket/a.zarr", DATA, voxel_size=VOXEL_SIZE)
    np.testing.assert_array_equal(open_volume("s3://bucket/a.zarr").read(), DATA)
    assert next(counter) > 20


def test_refusals_are_one_line_and_leave_no_volume(s3: Server, backend: int):
    def refuse(method: str, path: str) -> int | None:
        return 403 if method == "PUT" and "/c/" in path else None

    s3.misbehave = refuse
    with pytest.raises(InputError, match=r"s3://bucket/a.zarr cannot be written: .*403") as error:
        save_volume("s3://bucket/a.zarr", DATA, voxel_size=VOXEL_SIZE)
    assert "\n" not in str(error.value)
    assert keys(backend) == []
    with pytest.raises(InputError, match=r"s3://nowhere/a.zarr cannot be written: .*NoSuchBucket"):
        save_volume("s3://nowhere/a.zarr", DATA, voxel_size=VOXEL_SIZE)
    s3.misbehave = lambda method, path: 403
    with pytest.raises(InputError, match=r"s3://bucket/b.zarr cannot be written: .*403"):
        save_volume("s3://bucket/b.zarr", DATA, voxel_size=VOXEL_SIZE)


def test_a_damaged_chunk_is_one_line(s3: Server):
    save_volume("s3://bucket/a.zarr", DATA, voxel_size=VOXEL_SIZE)
    write_bytes("s3://bucket/a.zarr/s0", "c/0/0/1", b"no chunk")
    with pytest.raises(InputError, match=r"s3://bucket/a.zarr/s0") as error:
        open_volume("s3://bucket/a.zarr").read()
    assert "\n" not in str(error.value)


def test_a_server_that_is_not_there_is_one_line(s3: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(InputError, match="s3://bucket/a.zarr"):
        open_volume("s3://bucket/a.zarr")


def test_command_converts_to_and_from(s3: Server, tmp_path):
    save_volume(tmp_path / "a.zarr", DATA, voxel_size=VOXEL_SIZE)
    cli.main(["convert", str(tmp_path / "a.zarr"), "s3://bucket/b.zarr"])
    cli.main(["convert", "s3://bucket/b.zarr", str(tmp_path / "c.h5:raw")])
    np.testing.assert_array_equal(open_volume(f"{tmp_path}/c.h5:raw").read(), DATA)
