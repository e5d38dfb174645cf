"""The scales that viewers ask for: stored ones, and those made when they are read."""

import json

import h5py
import numpy as np
import pytest
import tensorstore
from hypothesis import given, settings
from hypothesis import strategies as some

from clew.volumes import scales
from clew.volumes.open import open_volume
from clew.volumes.pyramid import pool
from clew.volumes.save import save_volume
from clew.volumes.scales import Coarser, open_scales

rng = np.random.default_rng(0)
FACTORS = some.tuples(*[some.integers(1, 4)] * 3)


@settings(max_examples=40, deadline=None)
@given(some.tuples(*[some.integers(1, 9)] * 3), FACTORS, some.data())
def test_a_box_of_a_coarser_scale_is_that_of_the_pooled_volume(shape, factors, data):
    values = rng.integers(0, 4, shape, dtype=np.uint64)
    coarse, whole = Coarser(values, factors), pool(values, factors)
    assert coarse.shape == whole.shape
    lows = [data.draw(some.integers(0, n - 1)) for n in whole.shape]
    box = tuple(slice(low, data.draw(some.integers(low + 1, n))) for low, n in zip(lows, whole.shape, strict=True))
    np.testing.assert_array_equal(coarse[box], whole[box])


def test_of_large_boxes_only_some_sections_are_read(monkeypatch):
    class Counted(np.ndarray):
        def __getitem__(self, selection):
            read.append(selection)
            return super().__getitem__(selection)

    read = []
    values = rng.integers(0, 255, (17, 8, 8), dtype=np.uint8)
    monkeypatch.setattr(scales, "READ", 100)
    found = Coarser(values.view(Counted), (8, 2, 2))[0:3, 0:4, 0:4]
    assert [selection[0] for selection in read] == [slice(4, 5), slice(12, 13), slice(16, 17)]
    np.testing.assert_array_equal(found, pool(values[[4, 12, 16]], (1, 2, 2)))


def test_channels_and_numbers_of_any_type_have_coarser_scales():
    values = rng.random((2, 5, 4, 6)).astype(np.float32)
    found = Coarser(values, (1, 2, 2))
    assert found.shape == (2, 5, 2, 3)
    np.testing.assert_array_equal(found[0:2, 0:5, 0:2, 0:3], values[:, :, ::2, ::2])


def test_scales_are_made_until_voxels_are_cubes_and_then_together(tmp_path):
    path = str(tmp_path / "fine.zarr")
    save_volume(path, rng.integers(0, 255, (20, 300, 200), dtype=np.uint8), voxel_size=(40, 10, 10))
    found = open_scales(path, open_volume(path))
    assert [scale.factors for scale in found] == [(1, 1, 1), (1, 2, 2), (1, 4, 4), (2, 8, 8)]
    assert found[-1].data.shape == (10, 38, 25)


@pytest.mark.parametrize("form", ["precomputed", "n5"])
def test_stored_scales_of_other_formats_are_read_not_made(tmp_path, form):
    """Coarser scales hold other values than those that would be made, so that one sees which are read."""
    fine, coarse = np.full((64, 96, 128), 7, np.uint8), np.full((64, 48, 64), 9, np.uint8)
    path = tmp_path / "stored.n5"
    for number, values in enumerate((fine, coarse)):
        size = [8 << number, 8 << number, 40]
        if form == "n5":
            spec = {"driver": "n5", "kvstore": {"driver": "file", "path": f"{path}/s{number}/"},
                    "metadata": {"dimensions": values.T.shape, "blockSize": [32] * 3, "dataType": "uint8",
                                 "compression": {"type": "raw"}}}  # fmt: skip
        else:
            scale = {
                "size": values.T.shape,
                "encoding": "raw",
                "chunk_size": [32] * 3,
                "resolution": size,
                "key": f"s{number}",
            }
            spec = {"driver": "neuroglancer_precomputed", "kvstore": {"driver": "file", "path": f"{path}/"},
                    "multiscale_metadata": {"type": "image", "data_type": "uint8", "num_channels": 1},
                    "scale_metadata": scale}  # fmt: skip
        array = tensorstore.open(spec, create=True, open=True).result()
        array[...] = values.T if form == "n5" else values.T[..., None]
    if form == "n5":
        factors = {"downsamplingFactors": [[1, 1, 1], [2, 2, 1]], "resolution": [8, 8, 40], "units": ["nm"] * 3}
        (path / "attributes.json").write_text(
            json.dumps({"n5": "2.5.0", "scales": factors["downsamplingFactors"]} | factors)
        )
    found = open_scales(str(path), open_volume(path))
    assert [scale.factors for scale in found[:2]] == [(1, 1, 1), (1, 2, 2)]
    assert (np.asarray(found[0].data[0:2, 0:2, 0:2]) == 7).all()
    assert (np.asarray(found[1].data[0:2, 0:2, 0:2]) == 9).all()


@pytest.mark.parametrize("named", [False, True])
def test_scales_of_a_pyramid_are_read_not_made(tmp_path, named):
    path = str(tmp_path / "pyramid.zarr")
    values = rng.integers(0, 255, (16, 100, 100), dtype=np.uint8)
    write_pyramid(path, [values, values[::2, ::2, ::2] // 2])
    opened = f"{path}:0" if named else path
    found = open_scales(opened, open_volume(opened))
    assert [scale.factors for scale in found] == [(1, 1, 1), (2, 2, 2)]
    stored = np.asarray(found[1].data[0:8, 0:50, 0:50])
    np.testing.assert_array_equal(stored, pool(values, (2, 2, 2)) if named else values[::2, ::2, ::2] // 2)


def test_other_datasets_are_no_scales(tmp_path):
    with h5py.File(tmp_path / "some.h5", "w") as file:
        file["raw"], file["1"] = np.zeros((4, 100, 100), np.uint8), np.zeros((2, 50, 50), np.uint8)
    path = f"{tmp_path}/some.h5:raw"
    found = open_scales(path, open_volume(path, voxel_size=(10, 10, 10)))
    assert [type(scale.data) for scale in found[1:]] == [Coarser]


def write_pyramid(path, scales_of_it):
    """An OME-Zarr of these scales, each twice as coarse as the one before."""
    from clew.volumes.in_blocks import shared_scales
    from clew.volumes.pyramid import Scale
    from clew.volumes.shared import finish_volume

    places = [Scale(values.shape, (10.0 * 2**k,) * 3, (5.0 * (2**k - 1),) * 3) for k, values in enumerate(scales_of_it)]
    shared = list(shared_scales(path, "raw", np.uint8, places, (64, 64, 64)).values())
    for volume, values in zip(shared, scales_of_it, strict=True):
        volume.create()
        volume[tuple(slice(0, n) for n in values.shape)] = values
    finish_volume(shared, {})
