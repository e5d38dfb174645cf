"""The state of the viewer, and the data that it serves; no browser."""

import io
import urllib.request
import zlib

import numpy as np
import pytest

from clew.errors import InputError
from clew.view.neuroglancer import Layer, view

SIZE = (40.0, 8.0, 4.0)


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    raw = rng.integers(0, 256, (6, 10, 14), dtype=np.uint8)
    return raw, rng.integers(0, 9, raw.shape), rng.random((4, *raw.shape), np.float32)


@pytest.fixture
def viewer(arrays):
    import neuroglancer

    raw, labels, affinities = arrays
    yield view(
        [
            Layer("raw", raw, "image", SIZE, offset=(400, 80, 40)),
            Layer("affinities", affinities, "affinities", SIZE, offset=(400, 80, 40), visible=False),
            Layer("segmentation", labels, "segmentation", SIZE, offset=(400, 80, 40)),
            Layer("truth", labels.astype(bool), "segmentation", (20.0, 8.0, 4.0), offset=(0, 0, 2)),
        ],
        position=(1, 2, 3),
    )
    neuroglancer.stop()


def volume_of(viewer, name):
    """The volume that is served for a layer."""
    url = viewer.state.layers[name].layer.source[0].url
    (served,) = [volume for token, volume in viewer.volume_manager.volumes.items() if token in url]
    return served


def test_the_viewer_is_local_and_looks_where_it_is_told(viewer):
    assert viewer.get_viewer_url().startswith("http://127.0.0.1:")
    state = viewer.state.to_json()
    assert list(state["dimensions"]) == ["x", "y", "z"]
    scales = [state["dimensions"][axis][0] for axis in "xyz"]
    assert scales == pytest.approx([4e-9, 8e-9, 40e-9])
    assert all(state["dimensions"][axis][1] == "m" for axis in "xyz")
    assert state["position"] == pytest.approx([13.5, 12.5, 11.5])


def test_layers_have_their_kinds_axes_and_places(viewer):
    layers = viewer.state.layers
    assert [layer.name for layer in layers] == ["raw", "affinities", "segmentation", "truth"]
    assert [layer.layer.type for layer in layers] == ["image", "image", "segmentation", "segmentation"]
    assert [layer.visible for layer in layers] == [True, False, True, True]
    volumes = [volume_of(viewer, layer.name) for layer in layers]
    assert volumes[0].dimensions.names == ("z", "y", "x")
    assert volumes[0].dimensions.scales.tolist() == pytest.approx([40e-9, 8e-9, 4e-9])
    assert volumes[0].voxel_offset.tolist() == [10, 10, 10]
    assert volumes[1].dimensions.names == ("c^", "z", "y", "x")
    assert volumes[1].voxel_offset.tolist() == [0, 10, 10, 10]
    assert [volume.data_type for volume in volumes] == ["uint8", "float32", "uint64", "uint8"]
    assert [volume.volume_type for volume in volumes] == ["image", "image", "segmentation", "segmentation"]


def test_fractions_of_voxels_are_kept(viewer):
    assert volume_of(viewer, "truth").voxel_offset.tolist() == [0, 0, 0]
    matrix = np.array(viewer.state.layers["truth"].layer.source[0].transform.matrix)
    np.testing.assert_allclose(matrix[:, :3], np.eye(3))
    np.testing.assert_allclose(matrix[:, 3], [0, 0, 0.5])


def test_the_served_ids_are_those_of_the_array(viewer, arrays):
    _, labels, _ = arrays
    volume = volume_of(viewer, "segmentation")
    data, _ = volume.get_encoded_subvolume("npz", np.array([1, 2, 3]), np.array([5, 9, 11]), "1,1,1")
    found = np.load(io.BytesIO(zlib.decompress(data)))
    wanted = labels[1:5, 2:9, 3:11].astype(np.uint64)
    assert found.dtype == np.uint64
    np.testing.assert_array_equal(found, wanted)


def test_the_page_is_served(viewer):
    with urllib.request.urlopen(viewer.get_viewer_url(), timeout=10) as answer:
        assert b"neuroglancer" in answer.read().lower()


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([], "at least one layer"),
        ([Layer("a", np.zeros((2, 2)), "image", SIZE)], r"must be \(z, y, x\)"),
        ([Layer("a", np.zeros((2, 2, 2)), "affinities", SIZE)], r"must be \(offset, z, y, x\)"),
        ([Layer("a", np.zeros((2, 2, 2, 2)), "affinities", SIZE)], "at least 3"),
        ([Layer("a", np.zeros((2, 2, 2)), "image", SIZE)] * 2, "different names"),
    ],
)
def test_what_cannot_be_shown_is_refused(layers, message):
    with pytest.raises(InputError, match=message):
        view(layers)
