"""What the viewer serves, read by another reader of zarr, and to whom; no browser."""

import json
import socket
import urllib.error
import urllib.request

import numpy as np
import psutil
import pytest
import tensorstore

from clew import agglomerate, build_region_graph, relabel, segment_lookup
from clew.errors import InputError
from clew.view.layers import Layer, Mark, Marks, contrast
from clew.view.neuroglancer import address_of, view

SIZE = (40.0, 8.0, 4.0)
rng = np.random.default_rng(0)
RAW = rng.integers(0, 256, (6, 10, 70), dtype=np.uint8)
LABELS = rng.integers(0, 9, RAW.shape)
AFFINITIES = rng.random((4, *RAW.shape), np.float32)
PLACE = (400, 80, 40)


@pytest.fixture
def show():
    """Opens the viewer on some layers."""
    import neuroglancer

    yield lambda *layers, **options: view(layers, **options)
    neuroglancer.stop()


@pytest.fixture
def viewer(show):
    return show(
        Layer("raw", RAW, "image", SIZE, PLACE),
        Layer("affinities", AFFINITIES, "affinities", SIZE, PLACE, visible=False),
        Layer("segmentation", LABELS, "segmentation", SIZE, PLACE, coarser=[(LABELS[::2, ::2, ::2], (2, 2, 2))]),
        Layer("truth", LABELS.astype(bool), "segmentation", (20.0, 8.0, 4.0), offset=(0, 0, 2)),
        position=(1, 2, 3),
    )


def get(viewer, path, **headers):
    """The bytes at an address below that of the viewer."""
    base = address_of(viewer).replace("/v/", "/clew/")
    with urllib.request.urlopen(urllib.request.Request(base + path, headers=headers), timeout=10) as answer:
        return answer.read()


def state(viewer, **headers):
    return json.loads(get(viewer, "state", **headers))


def served(viewer, name, scale=0):
    """A scale of a layer, opened by tensorstore."""
    base = address_of(viewer).replace("/v/", "/clew/")
    return tensorstore.open({"driver": "zarr3", "kvstore": f"{base}zarr/{name}/s{scale}/"}).result()


def place_of(viewer, name, scale=0):
    """Voxel size and translation of a scale, without the first axis of four."""
    ome = json.loads(get(viewer, f"zarr/{name}/zarr.json"))["attributes"]["ome"]
    assert ome["version"] == "0.5"
    size, low = ome["multiscales"][0]["datasets"][scale]["coordinateTransformations"]
    return size["scale"][-3:], low["translation"][-3:]


def test_the_viewer_is_local_and_looks_where_it_is_told(viewer):
    assert address_of(viewer).startswith("http://127.0.0.1:")
    found = state(viewer)
    assert list(found["dimensions"]) == ["x", "y", "z"]
    assert [found["dimensions"][axis][0] for axis in "xyz"] == pytest.approx([4e-9, 8e-9, 40e-9])
    assert found["position"] == pytest.approx([13.5, 12.5, 11.5])


def test_segments_are_selected_at_first(show):
    layers = [Layer(name, LABELS, "segmentation", SIZE, PLACE) for name in ("segmentation", "truth")]
    found = state(show(*layers, selected=[3, 2**60]))["layers"]
    assert found[0]["segments"] == ["3", str(2**60)]
    assert "segments" not in found[1]


def test_layers_have_their_kinds_and_places(viewer):
    layers = state(viewer)["layers"]
    assert [layer["name"] for layer in layers] == ["raw", "affinities", "segmentation", "truth"]
    assert [layer["type"] for layer in layers] == ["image", "image", "segmentation", "segmentation"]
    assert [layer["visible"] for layer in layers] == [True, False, True, True]
    middle = np.array(SIZE) / 2
    for name in ("raw", "affinities", "segmentation"):
        size, low = place_of(viewer, name)
        assert size == pytest.approx(SIZE)
        assert low == pytest.approx(np.array(PLACE) + middle), "voxel n of the first layer lies from n to n + 1"
    size, low = place_of(viewer, "segmentation", 1)
    assert size == pytest.approx(np.array(SIZE) * 2)
    assert low == pytest.approx(np.array(PLACE) + middle + np.array(SIZE) / 2)
    assert place_of(viewer, "truth")[1] == pytest.approx(np.array([0, 0, 2]) + middle), "fractions of voxels are kept"


def test_what_is_served_are_the_values_of_the_array(viewer):
    np.testing.assert_array_equal(served(viewer, "raw").read().result(), RAW)
    np.testing.assert_array_equal(served(viewer, "affinities").read().result(), AFFINITIES[:3])
    np.testing.assert_array_equal(served(viewer, "segmentation").read().result(), LABELS)
    np.testing.assert_array_equal(served(viewer, "segmentation", 1).read().result(), LABELS[::2, ::2, ::2])
    np.testing.assert_array_equal(served(viewer, "truth").read().result(), LABELS > 0)


def test_only_the_part_that_is_looked_at_is_read_and_no_bit_is_lost(show):
    class Counted(np.ndarray):
        def __getitem__(self, selection):
            read.append(selection)
            return super().__getitem__(selection)

    read = []
    viewer = show(Layer("shown", np.full((70, 70, 70), 2**62 + 1).view(Counted), "segmentation", SIZE))
    read.clear()
    assert (served(viewer, "shown")[1:3, 65:70, 7:9].read().result() == 2**62 + 1).all()
    assert read == [np.s_[0:64, 64:70, 0:64]]


@pytest.mark.parametrize(
    ("given", "kind", "wanted"),
    [
        ("int64", "segmentation", "uint64"), ("int32", "segmentation", "uint32"), ("uint64", "segmentation", "uint64"),
        ("bool", "segmentation", "uint8"), ("int16", "image", "int16"), ("float64", "image", "float32"),
    ],
)  # fmt: skip
def test_types_that_the_viewer_does_not_know_are_converted(show, given, kind, wanted):
    assert served(show(Layer("shown", np.zeros((2, 2, 2), given), kind, SIZE)), "shown").dtype.name == wanted


def test_contrast_is_that_of_the_type_or_of_the_whole_volume():
    assert contrast(np.zeros((2, 2, 2), np.uint8)) == [0, 255]
    assert contrast(np.full((2, 2, 2), 7, np.uint16)) == [7, 8]
    assert contrast(np.arange(20, dtype=np.float32).reshape(20, 1, 1)) == pytest.approx([0, 19], abs=0.1)
    values = np.full((100, 3, 3), 50.0, np.float32)
    values[40:60], values[:20], values[0, 0, 0] = 1, 1000, 1e9
    values[70:] = np.nan
    assert contrast(values) == pytest.approx([1, 1000], abs=0.1)
    assert contrast(np.full((2, 2, 2), np.nan, np.float32)) == [0, 1]


@pytest.mark.parametrize("padding", [0, 65535])
def test_padding_does_not_change_the_contrast(padding):
    tissue = np.random.default_rng(0).integers(20_000, 30_000, (8, 32, 32)).astype(np.uint16)
    padded = np.concatenate([tissue, np.full_like(tissue, padding)])
    assert contrast(padded) == pytest.approx(contrast(tissue), abs=20)


@pytest.mark.parametrize(("data", "kind"), [(RAW, "image"), (AFFINITIES, "affinities")])
def test_without_a_position_the_viewer_looks_at_the_middle_of_the_volume(show, data, kind):
    assert state(show(Layer("shown", data, kind, SIZE)))["position"] == pytest.approx([35.5, 5.5, 3.5])


def test_the_volume_fills_the_panels(show):
    found = state(show(Layer("shown", np.zeros((100, 400, 300), np.uint8), "image", SIZE)))
    assert found["crossSectionScale"] == pytest.approx(1000 / 400), "voxels of 4 nm to a pixel: z is the longest side"
    assert found["projectionScale"] == pytest.approx(np.linalg.norm([1000, 800, 300]))


@pytest.fixture(scope="module")
def way():
    """Fragments and their merge tree: cubes of 4, joined at many scores."""
    fragments = np.arange(1, 28, dtype=np.uint64).reshape(3, 3, 3).repeat(4, 0).repeat(4, 1).repeat(4, 2)
    fragments[:2, :2] = 0
    scores = np.random.default_rng(1).random((3, *fragments.shape), np.float32)
    return fragments, agglomerate(build_region_graph(scores, fragments))


def test_the_threshold_is_an_axis_of_the_segmentation(show, way):
    fragments, tree = way
    coarse = fragments[::2, ::2, ::2]
    viewer = show(
        Layer("segments", fragments, "segmentation", SIZE, tree=tree, coarser=[(coarse, (2, 2, 2))]), threshold=0.43
    )
    found = state(viewer)
    assert found["dimensions"]["t"] == [0.01, ""]
    assert found["position"][3] == 43.5
    assert found["layers"][0]["source"][1].endswith("/mesh/segments/43/"), "the address of a mesh holds the threshold"
    assert found["toolPalettes"]["threshold"]["tools"] == [{"type": "dimension", "dimension": "t"}]
    volumes = [served(viewer, "segments", scale) for scale in (0, 1)]
    assert volumes[0].shape == (101, *fragments.shape)
    for step in (0, 43, 70, 43, 100):
        for volume, data in zip(volumes, (fragments, coarse), strict=True):
            wanted = relabel(np.ascontiguousarray(data), tree.fragments, segment_lookup(tree, step / 100))
            np.testing.assert_array_equal(volume[step].read().result(), wanted)


def triangles(mesh):
    """Corners (x, y, z) of a mesh in neuroglancer's legacy format."""
    count = int(np.frombuffer(mesh[:4], "<u4")[0])
    return np.frombuffer(mesh[4 : 4 + 12 * count], "<f4").reshape(-1, 3)


def test_a_mesh_lies_on_its_segment_and_follows_the_threshold(show, way):
    fragments, tree = way
    viewer = show(Layer("segments", fragments, "segmentation", SIZE, PLACE, tree=tree))
    assert json.loads(get(viewer, "mesh/segments/0/info")) == {"@type": "neuroglancer_legacy_mesh"}
    boxes = set()
    for step in (0, 60, 100):
        segments = relabel(fragments, tree.fragments, segment_lookup(tree, step / 100))
        segment = int(segments[11, 11, 11])
        assert json.loads(get(viewer, f"mesh/segments/{step}/{segment}:0")) == {"fragments": [str(segment)]}
        corners = triangles(get(viewer, f"mesh/segments/{step}/{segment}"))
        voxels = np.argwhere(segments == segment)
        wanted = (voxels.min(0) * SIZE + PLACE, (voxels.max(0) + 1) * SIZE + PLACE)
        np.testing.assert_allclose([corners.min(0)[::-1], corners.max(0)[::-1]], wanted)
        boxes.add(tuple(corners.max(0) - corners.min(0)))
    assert len(boxes) > 1
    assert not len(triangles(get(viewer, "mesh/segments/0/999"))), (
        "where there is no such segment, there is no triangle"
    )


def test_fragments_are_followed_to_their_segments(show, way):
    fragments, tree = way
    viewer = show(Layer("segments", fragments, "segmentation", SIZE, tree=tree))
    lookup = dict(zip(tree.fragments.tolist(), segment_lookup(tree, 0.6).tolist(), strict=True))
    found = json.loads(get(viewer, "segments/segments/60?ids=27,5,999"))
    assert found == [str(lookup[27]), str(lookup[5]), "0"]


def test_fragments_of_another_tree_are_told_once_not_shown_wrongly(show, way):
    said = []
    viewer = show(Layer("segments", way[0] + np.uint64(1000), "segmentation", SIZE, tree=way[1]), say=said.append)
    for _ in range(2):
        with pytest.raises(urllib.error.HTTPError, match="500"):
            get(viewer, "zarr/segments/s0/c/50/0/0/0")
    assert len(said) == 1
    assert "not in the merge tree" in said[0]


def test_the_page_is_served_with_what_is_added(viewer):
    with urllib.request.urlopen(address_of(viewer), timeout=10) as answer:
        page = answer.read()
    assert b"neuroglancer" in page
    assert b'rel="icon"' in page, "no request for an icon that is not there"
    assert viewer.token.encode() + b"/page.js" in page
    assert b"restoreState" in get(viewer, "page.js")


def test_addresses_are_those_by_which_the_browser_asked(viewer):
    for host in ("localhost:9000", "127.0.0.1:1", "[::1]:80"):
        sources = [layer["source"] for layer in state(viewer, Host=host)["layers"]]
        assert sources[0] == f"zarr3://http://{host}/clew/{viewer.token}/zarr/raw/"


def test_only_this_machine_and_who_knows_the_address_gets_in(viewer):
    import neuroglancer.server

    server = neuroglancer.server.global_server
    listening = {each.laddr for each in psutil.Process().net_connections("inet") if each.status == psutil.CONN_LISTEN}
    assert {ip for ip, port in listening if port == server.port} == {"127.0.0.1"}
    token = viewer.token
    assert len(token) >= 32
    base = f"{server.server_url}/clew/{token}/"
    below = ("state", "page.js", "zarr/raw/zarr.json", "zarr/raw/s0/c/0/0/0", "mesh/truth/0/info", "mesh/truth/0/1")
    pages = [address_of(viewer), *(base + path for path in below)]
    for page in pages:
        with urllib.request.urlopen(page, timeout=10) as answer:
            assert "Access-Control-Allow-Origin" not in answer.headers, "pages of others may read it"
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(urllib.request.Request(page, headers={"Host": "evil.example:80"}), timeout=10)
    guesses = [page.replace(token, guess) for page in pages for guess in ("0" * len(token), "", token[:-1])]
    for page in (server.server_url, *guesses):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(page, timeout=10)
    for action in ("action", "state", "credentials"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{server.server_url}/{action}/{'0' * len(token)}", data=b"{}", timeout=10)


@pytest.mark.parametrize("path", ["zarr/raw/s1/zarr.json", "zarr/raw/s0/c/9/0/0", "zarr/raw/s0/c/0", "zarr/none/zarr.json",
                                  "mesh/raw/0/1", "mesh/truth/0/x", "segments/truth/0"])  # fmt: skip
def test_what_is_not_there_is_not_found(viewer, path):
    with pytest.raises(urllib.error.HTTPError, match="404"):
        get(viewer, path)


def test_marks_lie_where_they_are_and_the_costliest_is_seen_first(show):
    marks = [Mark((400 + 40 * 3, 80 + 8 * 2, 40 + 4 * 7), "the worst"), Mark((400, 80, 40), "another")]
    viewer = show(Layer("segmentation", LABELS, "segmentation", SIZE, PLACE), marks=[Marks("merges", "#d55e00", marks)])
    layer = state(viewer)["layers"][1]
    assert (layer["type"], layer["name"], layer["annotationColor"]) == ("annotation", "merges", "#d55e00")
    assert list(layer["source"]["transform"]["outputDimensions"]) == ["x", "y", "z"]
    other, worst = layer["annotations"]
    assert worst["point"] == pytest.approx([17.5, 12.5, 13.5]), (
        "the middle of voxel (3, 2, 7) of a volume with an offset"
    )
    assert (worst["description"], other["description"]) == ("the worst", "another")


def test_two_viewers_at_once(show):
    viewers = [show(Layer("shown", np.full((2, 2, 2), value, np.uint8), "image", SIZE)) for value in (1, 2)]
    assert [served(viewer, "shown")[0, 0, 0].read().result().item() for viewer in viewers] == [1, 2]


def test_a_port_in_use_is_told(show):
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(InputError, match="give another --port"):
        show(Layer("shown", RAW, "image", SIZE), port=taken.getsockname()[1])


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
