"""The viewer in a real browser: a Chromium without a window, which draws in software."""

import numpy as np
import pytest

from clew import AgglomerationOptions, agglomerate, build_region_graph, extract_fragments, relabel, segment_lookup
from clew.synthetic.volume import synthesize
from clew.view.colours import colours_of
from clew.view.layers import Layer, Mark, Marks
from clew.view.neuroglancer import address_of, view
from noise import noisy_affinities
from view.pages import differing, picture

SIZE = (10.0, 10.0, 10.0)
SELECTED = """() => [...viewer.layerManager.getLayerByName("segmentation").layer.displayState.segmentationGroupState.value
  .visibleSegments].map(String)"""


@pytest.fixture(scope="module")
def layers():
    volume = synthesize((24, 96, 96), seed=3)
    affinities = noisy_affinities(volume.labels)
    fragments = extract_fragments(affinities)
    tree = agglomerate(build_region_graph(affinities, fragments), options=AgglomerationOptions(score="mean"))
    coarser = [(fragments[::2, ::2, ::2], (2, 2, 2))]
    return [
        Layer("raw", volume.raw, "image", SIZE),
        Layer("affinities", affinities, "affinities", SIZE, visible=False),
        Layer("fragments", fragments, "segmentation", SIZE, visible=False),
        Layer("segmentation", fragments, "segmentation", SIZE, tree=tree, coarser=coarser),
        Layer("truth", volume.labels, "segmentation", SIZE, visible=False),
    ]


@pytest.fixture(scope="module")
def viewer(layers):
    import neuroglancer

    marks = [Mark((120, 480, 480), f"error {number}") for number in range(3)]
    yield view(layers, threshold=0.5, marks=[Marks("merges", "#d55e00", marks), Marks("splits", "#0072b2", marks[:1])])
    neuroglancer.stop()


def move(page, step):
    """The threshold, as the slider moves it."""
    page.evaluate(
        "(t) => { const at = Float32Array.from(viewer.position.value); at[3] = t + 0.5; viewer.position.value = at; }",
        step,
    )
    page.wait_for_function(f"() => location.hash.includes('/mesh/segmentation/{step}/')", timeout=60_000)


def test_every_layer_draws_and_none_looks_like_another(open_page, viewer):
    page = open_page(address_of(viewer))
    show = "(shown) => viewer.layerManager.managedLayers.forEach((layer) => layer.setVisible(layer.name === shown))"
    found = {}
    for name in ("none", "raw", "affinities", "fragments", "segmentation", "truth"):
        page.evaluate(show, name)
        found[name] = picture(page)
    names = list(found)
    for k, one in enumerate(names):
        for other in names[:k]:
            assert differing(found[one], found[other]) > 0.05, f"{one} looks like {other}"


def test_pictures_have_the_colours_of_the_viewer(open_page, viewer, layers):
    page = open_page(address_of(viewer))
    page.evaluate("""() => {
      viewer.showAxisLines.value = false;
      viewer.layerManager.managedLayers.forEach((layer) => layer.setVisible(layer.name === "truth"));
      viewer.layerManager.getLayerByName("truth").layer.displayState.selectedAlpha.value = 1;
    }""")
    seen = picture(page).reshape(-1, 3)
    wanted = np.rint(255 * colours_of(np.unique(layers[4].data[12]))).astype(int)
    nearest = np.abs(seen[:, None] - wanted).max(2)
    known = nearest.min(1) <= 1
    assert np.mean(known[seen.max(1) > 0]) > 0.9, "all but lines and letters that lie above"
    assert len(np.unique(nearest[known].argmin(1))) > 5


def test_moving_the_threshold_changes_what_is_seen_and_the_address(open_page, viewer):
    page = open_page(address_of(viewer))
    seen = {}
    for step in (50, 0, 100, 50):
        move(page, step)
        seen.setdefault(step, []).append(picture(page))
    assert differing(seen[0][0], seen[100][0]) > 0.05
    assert differing(*seen[50]) < 0.01, "back at a threshold, all is as it was"
    again = open_page(page.url)
    assert differing(picture(again), seen[50][0]) < 0.01, "the address holds the view"


def test_selecting_a_segment_draws_its_mesh_which_follows_the_threshold(open_page, viewer, layers):
    page = open_page(address_of(viewer))
    view_of_3d = (slice(270, 480), slice(20, 230))
    without = picture(page, view_of_3d)
    with page.expect_response(lambda answer: "/mesh/segmentation/50/" in answer.url and answer.url[-1].isdigit()):
        page.mouse.dblclick(125, 150)
    assert len(page.evaluate(SELECTED)) == 1
    drawn = picture(page, view_of_3d)
    assert differing(drawn, without) > 0.01, "the 3D view shows the segment"
    with page.expect_response(lambda answer: "/mesh/segmentation/100/" in answer.url and ":0" not in answer.url
                              and "info" not in answer.url) as asked:  # fmt: skip
        move(page, 100)
    mesh = asked.value.body()
    count = int(np.frombuffer(mesh[:4], "<u4")[0])
    corners = np.frombuffer(mesh[4 : 4 + 12 * count], "<f4").reshape(-1, 3)
    page.wait_for_timeout(500)
    (selected,) = page.evaluate(SELECTED)
    assert differing(picture(page, view_of_3d), drawn) > 0.01, "the body is another one"
    fragments, tree = layers[3].data, layers[3].tree
    voxels = np.argwhere(relabel(fragments, tree.fragments, segment_lookup(tree, 1.0)) == int(selected))
    np.testing.assert_allclose(corners.max(0)[::-1] - corners.min(0)[::-1], (np.ptp(voxels, axis=0) + 1) * SIZE)


def test_two_viewers_at_once_and_an_address_of_another_name(open_page, viewer, layers):
    other = view(layers[:1])
    pages = [
        open_page(address_of(each).replace("127.0.0.1", name))
        for each, name in ((viewer, "127.0.0.1"), (other, "localhost"))
    ]
    before = picture(pages[0])
    assert differing(before, picture(pages[1])) > 0.05
    move(pages[0], 100)
    assert not pages[1].evaluate("() => viewer.coordinateSpace.value.names.includes('t')"), "each has its own state"


def test_what_changes_is_kept_where_that_is_wanted(open_page, layers):
    kept = []
    keeping = view(layers, threshold=0.5)
    keeping.clew.keep = kept.append
    page = open_page(address_of(keeping))
    with page.expect_response(lambda answer: answer.request.method == "POST" and answer.url.endswith("/state")):
        move(page, 77)
    page.wait_for_timeout(1000)
    assert kept
    assert "/mesh/segmentation/77/" in kept[-1]
