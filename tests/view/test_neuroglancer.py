"""The state of the viewer, and the data that it serves; no browser."""

import io
import urllib.error
import urllib.request
import zlib

import numpy as np
import psutil
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


@pytest.fixture
def show():
    """Opens the viewer on one layer."""
    import neuroglancer

    yield lambda data, kind: view([Layer("shown", data, kind, SIZE)])
    neuroglancer.stop()


def test_only_the_part_that_is_looked_at_is_read_and_no_bit_is_lost(show):
    class Counted(np.ndarray):
        def __getitem__(self, selection):
            read.append(selection)
            return super().__getitem__(selection)

    read = []
    viewer = show(np.full((50, 50, 50), 2**62 + 1).view(Counted), "segmentation")
    read.clear()
    volume = volume_of(viewer, "shown")
    data, _ = volume.get_encoded_subvolume("npz", np.array([1, 4, 7]), np.array([3, 6, 9]), "1,1,1")
    assert (np.load(io.BytesIO(zlib.decompress(data))) == 2**62 + 1).all()
    assert read == [np.s_[1:3, 4:6, 7:9]]


@pytest.mark.parametrize(
    ("given", "kind", "served"),
    [
        ("int64", "segmentation", "uint64"), ("int32", "segmentation", "uint32"), ("uint64", "segmentation", "uint64"),
        ("bool", "segmentation", "uint8"), ("int16", "image", "int16"), ("float64", "image", "float32"),
    ],
)  # fmt: skip
def test_types_that_the_viewer_does_not_know_are_converted(show, given, kind, served):
    assert volume_of(show(np.zeros((2, 2, 2), given), kind), "shown").data_type == served


def test_contrast_is_that_of_the_type_or_of_the_whole_volume(show):
    def contrast(data):
        layer = show(data, "image").state.layers["shown"].layer
        return layer.to_json()["shaderControls"]["normalized"]["range"]

    assert contrast(np.zeros((2, 2, 2), np.uint8)) == [0, 255]
    assert contrast(np.full((2, 2, 2), 7, np.uint16)) == [7, 8]
    assert contrast(np.arange(20, dtype=np.float32).reshape(20, 1, 1)) == pytest.approx([0, 19], abs=0.1)
    values = np.full((100, 3, 3), 50.0, np.float32)
    values[40:60], values[:20], values[0, 0, 0] = 1, 1000, 1e9
    values[70:] = np.nan
    assert contrast(values) == pytest.approx([1, 1000], abs=0.1)
    assert contrast(np.full((2, 2, 2), np.nan, np.float32)) == [0, 1]


@pytest.mark.parametrize("kind", ["image", "affinities"])
def test_without_a_position_the_viewer_looks_at_the_middle_of_the_volume(show, arrays, kind):
    raw, _, affinities = arrays
    viewer = show(raw if kind == "image" else affinities, kind)
    assert viewer.state.to_json()["position"] == pytest.approx([7.5, 5.5, 3.5])


def test_the_page_is_served(viewer):
    with urllib.request.urlopen(viewer.get_viewer_url(), timeout=10) as answer:
        assert b"neuroglancer" in answer.read().lower()


def test_only_this_machine_and_who_knows_the_address_gets_in(viewer):
    import neuroglancer.server

    server = neuroglancer.server.global_server
    listening = {each.laddr for each in psutil.Process().net_connections("inet") if each.status == psutil.CONN_LISTEN}
    assert {ip for ip, port in listening if port == server.port} == {"127.0.0.1"}
    token = viewer.token
    assert len(token) >= 32
    pages = [viewer.get_viewer_url(), f"{server.server_url}/neuroglancer/info/{token}.{volume_of(viewer, 'raw').token}"]
    for page in pages:
        with urllib.request.urlopen(page, timeout=10) as answer:
            assert "Access-Control-Allow-Origin" not in answer.headers, "pages of others may read it"
    guesses = [page.replace(token, guess) for page in pages for guess in ("0" * len(token), "", token[:-1])]
    for page in (server.server_url, *guesses):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(page, timeout=10)
    for action in ("action", "state", "credentials"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{server.server_url}/{action}/{'0' * len(token)}", data=b"{}", timeout=10)


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


def test_the_volume_fills_the_panels(show):
    state = show(np.zeros((100, 400, 300), np.uint8), "image").state
    assert state.cross_section_scale == pytest.approx(1000 / 400), "voxels of 4 nm to a pixel: z is the longest side"
    assert state.projection_scale == pytest.approx(np.linalg.norm([1000, 800, 300]))
