"""What graph tools ask of the server of segments, and get; no browser."""

import gzip
import json
import urllib.error
import urllib.request

import imagecodecs
import numpy as np
import pytest

import clew
from clew.view.draco import draco_of
from clew.view.graphene import FRAGMENT, SEGMENT
from clew.view.layers import Layer
from clew.view.neuroglancer import address_of, view

SIZE = (40.0, 8.0, 4.0)
LAST = 5


@pytest.fixture
def edits(tmp_path):
    """Six fragments along x, 8 × 6 × 10 voxels each, the middle contact weak."""
    fragments = np.repeat(np.arange(1, 7, dtype=np.uint64), 10)[None, None].repeat(8, 0).repeat(6, 1)
    affinities = np.full((3, *fragments.shape), 230, np.uint8)
    affinities[2, ..., 30] = 150
    graph = clew.build_region_graph(affinities, fragments)
    with clew.Edits(tmp_path / "edits.sqlite", graph, clew.agglomerate(graph), fragments) as opened:
        yield opened


@pytest.fixture
def viewer(edits):
    import neuroglancer

    raw = np.zeros((8, 6, 60), np.uint8)
    corrected = Layer("corrected", edits.fragments, "segmentation", SIZE, (80, 8, 4), editor=edits)
    yield view([Layer("raw", raw, "image", SIZE), corrected])
    neuroglancer.stop()


def ask(viewer, path, document=None, base="/clew/TOKEN"):
    """The answer at an address; documents are posted."""
    url = address_of(viewer).split("/v/")[0] + base.replace("TOKEN", viewer.token) + path
    body = None if document is None else document if isinstance(document, bytes) else json.dumps(document).encode()
    with urllib.request.urlopen(urllib.request.Request(url, body), timeout=10) as answer:
        content = answer.read()
        return json.loads(content) if "json" in answer.headers["Content-Type"] else content


def api(viewer, path, document=None):
    return ask(viewer, f"/segmentation/api/v1/table/segments/{path}", document)


def fragment(number):
    return FRAGMENT | number


def root(viewer, number):
    return int(api(viewer, f"node/{fragment(number)}/root?int64_as_str=1")["root_id"])


def nm(number):
    """A place inside a fragment, as the page gives it: x, y, z in nm."""
    return [((number - 1) * 10 + 5) * SIZE[2], 3 * SIZE[1], 4 * SIZE[0]]


def split(viewer, sources, sinks):
    document = {
        side: [[str(fragment(each)), *nm(each)] for each in listed]
        for side, listed in (("sources", sources), ("sinks", sinks))
    }
    return [int(node) for node in api(viewer, "split?int64_as_str=1", document)["new_root_ids"]]


def merge(viewer, one, other):
    found = api(viewer, "merge?int64_as_str=1", [[str(fragment(each)), *nm(each)] for each in (one, other)])
    return [int(node) for node in found["new_root_ids"]]


def test_merge_and_split_are_edits_and_give_new_segments(viewer, edits):
    whole = root(viewer, 1)
    assert whole >= SEGMENT
    assert {root(viewer, number) for number in range(1, 7)} == {whole}
    left, right = split(viewer, [1, 2], [6])
    assert [row["kind"] for row in edits.history()] == ["split"]
    assert edits.apply().lookup.tolist() == [1, 1, 1, 4, 4, 4]
    assert (root(viewer, 3), root(viewer, 4)) == (left, right)
    assert whole not in (left, right)
    (again,) = merge(viewer, 6, 1)
    assert again not in (whole, left, right), "an id never comes back for other fragments"
    found = api(viewer, "is_latest_roots", {"node_ids": [str(each) for each in (whole, left, right, again)]})
    assert found == {"is_latest": [False, False, False, True]}


def test_undo_and_redo_say_what_takes_the_place_of_what_was_selected(viewer, edits):
    left, right = split(viewer, [1], [6])
    undone = ask(viewer, "/edits/undo", {"selected": [str(left), str(right)]})
    (whole,) = {new for found in undone["selected"].values() for new in found}
    assert set(undone["selected"]) == {str(left), str(right)}
    redone = ask(viewer, "/edits/redo", {"selected": [whole]})
    assert len(redone["selected"][whole]) == 2
    assert edits.apply().lookup.tolist() == [1, 1, 1, 4, 4, 4]
    merge(viewer, 1, 6)
    found = ask(viewer, "/edits/look", {"selected": [str(left), str(SEGMENT | 1)]})
    assert found["selected"] == {str(left): [str(root(viewer, 1))], str(SEGMENT | 1): [str(root(viewer, 1))]}


def test_keys_go_to_what_is_in_doubt_and_note_what_was_seen(viewer, edits):
    first = ask(viewer, "/edits/next", {})
    assert first["position"] == [
        pytest.approx(30.5 + 1, abs=1),
        pytest.approx(3.5 + 1, abs=1),
        pytest.approx(4.5 + 2, abs=1),
    ]
    assert "joined at score 0.59" in first["text"], "the weak contact in the middle"
    assert first["show"] == [str(root(viewer, 3))]
    second = ask(viewer, "/edits/seen", {})
    assert second["position"] != first["position"]
    assert edits.seen() == {(3, 4)}
    for _ in range(3):
        ask(viewer, "/edits/next", {})
    assert "no further contact" in ask(viewer, "/edits/next", {})["text"]


def test_keys_mark_segments_and_draw_the_way(viewer, edits):
    below = {"segment": str(fragment(2)), "place": [16, 4.5, 6.5]}
    assert "is done; 1 are done" in ask(viewer, "/edits/done", below)["text"]
    assert edits.done() == {1}
    assert "not done any more; 0" in ask(viewer, "/edits/done", below)["text"]
    assert "another point" in ask(viewer, "/edits/path", below)["text"]
    found = ask(viewer, "/edits/path", {"segment": str(fragment(5)), "place": [46, 4.5, 6.5]})
    assert "over 4 fragments" in found["text"]
    assert [point[0] for point in found["line"]] == pytest.approx([20.5, 30.5, 40.5], abs=1.1)
    for action in ("done", "path", "one"):
        assert "nothing is below the mouse" in ask(viewer, f"/edits/{action}", {})["text"]
    assert "nothing to redo" in ask(viewer, "/edits/redo", {})["text"]
    assert len(edits.history()) == 2


def test_keys_split_between_points(viewer, edits):
    whole = root(viewer, 1)
    for action, number in (("one", 1), ("one", 2), ("other", 6)):
        found = ask(viewer, f"/edits/{action}", {"segment": str(whole), "place": [number * 10 - 3, 4.5, 6.5]})
    assert [len(side) for side in found["points"]] == [2, 1]
    made = ask(viewer, "/edits/cut", {"selected": [str(whole)]})
    assert made["add"] == made["selected"][str(whole)] == [str(root(viewer, 1)), str(root(viewer, 6))]
    assert made["points"] == [[], []]
    assert edits.apply().lookup.tolist() == [1, 1, 1, 4, 4, 4]
    assert "a point on each side" in ask(viewer, "/edits/cut", {})["text"]


def test_all_segments_are_a_layer_that_follows_edits(viewer, edits):
    (layer,) = [each for each in ask(viewer, "/state")["layers"] if each["name"] == "all-corrected"]
    assert not layer["visible"]

    def seen(changes):
        chunk = ask(viewer, f"/zarr/all-corrected~{changes}/s0/c/0/0/0")
        return np.frombuffer(imagecodecs.zstd_decode(chunk), "<u8").reshape(64, 64, 64)[:8, :6, :60]

    assert (seen(0) == 1).all()
    split(viewer, [1], [6])
    assert ask(viewer, "/edits/look", {})["changes"] == 1
    np.testing.assert_array_equal(seen(1), np.where(edits.fragments < 4, 1, 4))
    merge(viewer, 1, 6)
    assert ask(viewer, "/edits/look", {})["changes"] == 2
    assert (seen(2) == 1).all()
    with pytest.raises(urllib.error.HTTPError, match="404"):
        ask(viewer, "/mesh/all-corrected/0/1")


def test_a_divided_fragment_gets_a_new_address_and_undo_brings_it_back(tmp_path, edits):
    import neuroglancer

    fragments = edits.fragments
    affinities = np.full((3, *fragments.shape), 230, np.uint8)
    edits.affinities = affinities
    coarse = fragments[::2, ::2, ::2]
    layer = Layer("corrected", fragments, "segmentation", SIZE, coarser=[(coarse, (2, 2, 2))], editor=edits)
    viewer = view([layer])
    try:
        whole = root(viewer, 1)
        assert ask(viewer, "/edits/look", {})["version"] == 0
        sides = [[[str(fragment(2)), x * SIZE[2] + 2, 24, 160]] for x in (10, 19)]
        document = dict(zip(("sources", "sinks"), sides, strict=True))
        left, right = (int(node) for node in api(viewer, "split", document)["new_root_ids"])
        found = ask(viewer, "/edits/look", {"selected": [str(whole)]})
        assert found == {"selected": {str(whole): [str(left), str(right)]}, "version": 1, "changes": 1}
        chunk = imagecodecs.zstd_decode(ask(viewer, "/zarr/all-corrected~1/s1/c/0/0/0"))
        assert len(np.unique(np.frombuffer(chunk, "<u8"))) == 3, "the pieces at a coarser scale, and nothing"
        info = ask(viewer, "/segmentation/table/segments1/info")
        for scale, shape in ((0, (8, 6, 60)), (1, (4, 3, 30))):
            url = f"{info['data_dir']}/s{scale}/0-{shape[2]}_0-{shape[1]}_0-{shape[0]}"
            with urllib.request.urlopen(url, timeout=10) as answer:
                ids = np.frombuffer(gzip.decompress(answer.read()), "<u8").reshape(shape)
            wanted = edits.read_fragments()[:: 2**scale, :: 2**scale, :: 2**scale]
            assert len(np.unique(ids[..., (10 >> scale) : (20 >> scale)])) == 2
            segments = {int(node): root(viewer, int(node) - FRAGMENT) for node in np.unique(ids).tolist()}
            assert set(segments.values()) == {left, right}
            if scale == 0:
                np.testing.assert_array_equal(ids, wanted | np.uint64(FRAGMENT))
        undone = ask(viewer, "/edits/undo", {"selected": [str(left), str(right)]})
        (again,) = {new for each in undone["selected"].values() for new in each}
        assert undone["version"] == 2
        assert {str(root(viewer, number)) for number in range(1, 7)} == {again}
    finally:
        neuroglancer.stop()


def test_fragments_of_a_segment_inside_a_box(viewer):
    left, right = split(viewer, [1], [6])
    assert api(viewer, f"node/{left}/leaves?int64_as_str=1&bounds=0-128_0-128_0-128")["leaf_ids"] == [
        str(fragment(n)) for n in (1, 2, 3)
    ]
    assert api(viewer, f"node/{left}/leaves?bounds=12-25_0-6_0-8")["leaf_ids"] == [str(fragment(n)) for n in (2, 3)]
    assert api(viewer, f"node/{right}/leaves?bounds=12-25_0-6_0-8")["leaf_ids"] == []
    many = api(viewer, "node/leaves_many?bounds=12-45_0-6_0-8", {"node_ids": [str(left), str(right)]})
    assert [len(many[str(each)]) for each in (left, right)] == [2, 2]


def test_ids_of_fragments_are_chunks_of_precomputed(viewer, edits):
    info = ask(viewer, "/segmentation/table/segments/info")
    assert info["scales"][0]["size"] == [60, 6, 8]
    assert info["scales"][0]["resolution"] == [4, 8, 40]
    url = info["data_dir"] + "/s0/10-40_0-6_2-5"
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        ids = np.frombuffer(gzip.decompress(answer.read()), "<u8").reshape(3, 6, 30)
    np.testing.assert_array_equal(ids, edits.fragments[2:5, :, 10:40] | np.uint64(FRAGMENT))
    for wrong in ("s0/50-90_0-6_0-8", "s1/0-1_0-1_0-1", "provenance"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{info['data_dir']}/{wrong}", timeout=10)


def test_the_mesh_of_a_segment_lies_on_it(viewer):
    DracoPy = pytest.importorskip("DracoPy")
    left, _ = split(viewer, [1], [6])
    assert ask(viewer, f"/meshing/api/v1/table/segments/manifest/{left}:0?verify=1")["fragments"] == [str(left)]
    mesh = DracoPy.decode(ask(viewer, f"/supervoxels/mesh//{left}"))
    np.testing.assert_allclose([mesh.points.min(0), mesh.points.max(0)], [[0, 0, 0], [30 * 4, 6 * 8, 8 * 40]])


def test_clicks_beside_a_fragment_and_on_surfaces_find_the_nearest_voxel(viewer, edits):
    whole = root(viewer, 1)
    beside = [21 * SIZE[2], 3 * SIZE[1], 4 * SIZE[0]]
    document = {"sources": [[str(fragment(2)), *beside]], "sinks": [[str(whole), 56 * SIZE[2], -SIZE[1], 4 * SIZE[0]]]}
    api(viewer, "split", document)
    content = edits.history()[0]["content"]
    assert content["sources"] == [[2, 4, 3, 19]]
    assert content["sinks"] == [[6, 4, 0, 56]]


@pytest.mark.parametrize(("path", "document", "message"), [
    ("merge", [[str(FRAGMENT | 1), *nm(1)], [str(FRAGMENT | 6), *nm(6)]], "one segment already"),
    ("merge", [[str(FRAGMENT | 1), *nm(1)], [str(FRAGMENT | 7), *nm(6)]], "no fragment 7"),
    ("merge", [[str(FRAGMENT | 1), *nm(1)], [str(FRAGMENT | 6), 1e6, 0, 0]], "outside of what was clicked"),
    ("split", {"sources": [[str(FRAGMENT | 1), *nm(1)]], "sinks": [[str(FRAGMENT | 1), *nm(1)]]}, "affinities"),
])  # fmt: skip
def test_what_cannot_be_done_is_told_and_nothing_is_kept(viewer, edits, path, document, message):
    with pytest.raises(urllib.error.HTTPError, match="400") as refused:
        api(viewer, path, document)
    assert refused.value.headers["Content-Type"] == "application/json", "as neuroglancer compares it"
    assert message in json.loads(refused.value.read())["message"]
    assert edits.history() == []


def test_two_sides_that_are_apart_are_told(viewer, edits):
    split(viewer, [1], [6])
    with pytest.raises(urllib.error.HTTPError) as refused:
        split(viewer, [1], [6])
    assert "nothing to split" in json.loads(refused.value.read())["message"]
    assert len(edits.history()) == 1


def test_readers_without_a_path_ask_for_the_table_of_the_token(viewer):
    for token, code in ((viewer.token, 200), ("0" * len(viewer.token), 404)):
        url = address_of(viewer).split("/v/")[0] + f"/segmentation/table/clew-{token}/info"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                assert (answer.status, code) == (200, 200)
        except urllib.error.HTTPError as error:
            assert error.code == code
    nodes = np.array([fragment(2), 0, fragment(5)], "<u8").tobytes()
    found = (
        ask(viewer, "/segmentation/api/v1/table/clew-TOKEN/roots_binary", nodes, base="")
        if False
        else ask(viewer, f"/segmentation/api/v1/table/clew-{viewer.token}/roots_binary", nodes, base="")
    )
    assert np.frombuffer(found, "<u8").tolist() == [root(viewer, 2), 0, root(viewer, 5)]


def test_the_layer_lies_where_the_fragments_do(viewer):
    source = (
        ask(viewer, "/state")["layers"][1]["source"]
        if False
        else json.loads(
            ask(viewer, "/state") if isinstance(ask(viewer, "/state"), bytes) else json.dumps(ask(viewer, "/state"))
        )["layers"][1]["source"]
    )
    assert source["url"].startswith("graphene://http://127.0.0.1:")
    assert np.array(source["transform"]["matrix"])[:, 3].tolist() == [1, 1, 2], "the offset in voxels"


@pytest.mark.parametrize("count", [5, 300, 70_000])
def test_meshes_are_draco(count):
    DracoPy = pytest.importorskip("DracoPy")
    rng = np.random.default_rng(count)
    corners, faces = rng.random((count, 3), np.float32), rng.integers(0, count, (3 * count, 3)).astype("<u4")
    mesh = DracoPy.decode(draco_of(np.uint32(count).tobytes() + corners.tobytes() + faces.tobytes()))
    np.testing.assert_array_equal(mesh.points, corners)
    kept = faces[(faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 0] != faces[:, 2])]
    assert len(mesh.faces) in (len(faces), len(kept))
