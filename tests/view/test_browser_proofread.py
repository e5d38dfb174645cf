"""Segments corrected by mouse and keys in a real browser."""

from contextlib import suppress

import numpy as np
import pytest
from playwright.sync_api import TimeoutError

import clew
from clew.view.layers import Layer
from clew.view.neuroglancer import address_of, view
from view.pages import READY, differing, picture

SIZE = (10.0, 10.0, 10.0)
WINDOW = {"width": 900, "height": 560}
STATE = "viewer.layerManager.getLayerByName('corrected').layer.displayState.segmentationGroupState.value"
SELECTED = f"[...{STATE}.visibleSegments].map(String)"
PIXEL = """([x, y]) => {
  const box = document.querySelector('.neuroglancer-rendered-data-panel').getBoundingClientRect();
  const [left, top] = viewer.position.value, scale = viewer.navigationState.zoomFactor.value;
  return [box.x + box.width / 2 + (x - left) / scale, box.y + box.height / 2 + (y - top) / scale];
}"""
SELECTION = STATE.replace(".segmentationGroupState.value", ".segmentSelectionState")
BELOW = f"""([x, y]) => {{
  const [right, down] = viewer.mouseState.position;
  return viewer.mouseState.active && Math.hypot(right - x, down - y) < 1 && {SELECTION}.baseValue;
}}"""
TOLD = "(text) => document.querySelector('#clew-edits b').innerText === text"
TRIES = 30
CALM = "() => !document.querySelector('#neuroglancer-status-container')?.innerText"


@pytest.fixture
def edits(tmp_path):
    """Six columns of fragments along x, 16 × 96 × 16 voxels each; the weak contact in the middle is apart."""
    fragments = np.repeat(np.arange(1, 7, dtype=np.uint64), 16)[None, None].repeat(16, 0).repeat(96, 1)
    affinities = np.full((3, *fragments.shape), 230, np.uint8)
    affinities[2, ..., 48] = 150
    graph = clew.build_region_graph(affinities, fragments)
    options = {"threshold": 0.3, "affinities": affinities}
    with clew.Edits(tmp_path / "edits.sqlite", graph, clew.agglomerate(graph), fragments, **options) as opened:
        yield opened


def shown(edits):
    """A viewer of edits."""
    raw = np.random.default_rng(0).integers(0, 256, edits.fragments.shape, np.uint8)
    sliding = Layer("segmentation", edits.fragments, "segmentation", SIZE, tree=edits.tree, visible=False)
    corrected = Layer("corrected", edits.fragments, "segmentation", SIZE, editor=edits)
    return view([Layer("raw", raw, "image", SIZE), sliding, corrected], threshold=0.3)


@pytest.fixture
def viewer(edits):
    import neuroglancer

    yield shown(edits)
    neuroglancer.stop()


@pytest.fixture
def looking(viewer, edits, tmp_path):
    """A second viewer, which only looks on."""
    parts = edits.graph, edits.tree, edits.fragments
    opened = clew.Edits(tmp_path / "edits.sqlite", *parts, threshold=0.3, read_only=True)
    yield shown(opened)
    opened.close()


class Hand:
    """Mouse and keys over voxels of the section xy."""

    def __init__(self, page):
        self.page = page

    def point(self, x, y):
        """Move to a voxel, and wait until the page knows what lies below; names of layers that grow move the sections."""
        for _ in range(TRIES):
            at = np.array(self.page.evaluate(PIXEL, [x, y]))
            self.page.mouse.move(*(at + 3))
            self.page.mouse.move(*at)
            with suppress(TimeoutError):
                self.page.wait_for_function(BELOW, arg=[x, y], timeout=5000)
                return at
        raise TimeoutError(f"the mouse does not come to {x}, {y}")

    def select(self, x, y):
        count = len(self.selected())
        self.page.mouse.dblclick(*self.point(x, y))
        self.wait_for(count + 1)

    def click(self, x, y):
        """Click with control."""
        self.point(x, y)
        self.page.keyboard.down("Control")
        self.page.mouse.down()
        self.page.mouse.up()
        self.page.keyboard.up("Control")
        self.page.wait_for_timeout(100)

    def press(self, keys, answer=None):
        """Press keys; the document of the answer from the server, where one is waited for."""
        if answer is None:
            self.page.keyboard.press(keys)
            self.page.wait_for_timeout(100)
            return None
        with self.page.expect_response(lambda found: found.request.method == "POST" and answer in found.url) as asked:
            self.page.keyboard.press(keys)
        found = asked.value.json()
        if "text" in found:
            self.page.wait_for_function(TOLD, arg=found["text"])  # the last that the page does with an answer
        return found

    def selected(self):
        return self.page.evaluate(SELECTED)

    def wait_for(self, count):
        """Wait until so many segments are selected: roots, no fragments."""
        roots = f"{SELECTED}.filter((id) => BigInt(id) >> 56n === 2n).length === {count}"
        self.page.wait_for_function(roots)
        assert len(self.selected()) == count


def test_merge_undo_redo_and_multicut_by_mouse_and_keys(viewer, edits, open_page):
    page = open_page(address_of(viewer), WINDOW)
    hand, view_of_3d = Hand(page), (slice(330, 500), slice(20, 250))
    nothing = picture(page, view_of_3d)
    hand.select(40, 44)
    hand.select(56, 52)
    page.wait_for_timeout(1000)
    assert differing(picture(page, view_of_3d), nothing) > 0.01, "surfaces are drawn"
    hand.press("Shift+M")
    hand.click(40, 44)
    hand.click(56, 52)
    hand.press("Shift+Enter", "/merge")
    hand.wait_for(1)
    hand.press("Shift+M")
    assert edits.apply().lookup.tolist() == [1] * 6
    hand.press("Control+z", "/edits/undo")
    hand.wait_for(2)
    hand.press("Control+y", "/edits/redo")
    hand.wait_for(1)
    hand.press("Shift+C")
    hand.click(40, 44)
    hand.press("g")
    hand.click(56, 52)
    hand.press("Shift+Enter", "/split")
    hand.wait_for(2)
    assert edits.apply().lookup.tolist() == [1, 1, 1, 4, 4, 4]
    assert [row["kind"] for row in edits.history()] == ["merge", "undo", "redo", "split"]
    page.wait_for_function(CALM)


def test_keys_go_to_doubtful_contacts_and_split_a_fragment(viewer, edits, open_page):
    page = open_page(address_of(viewer), WINDOW)
    hand = Hand(page)
    hand.point(40, 48)
    found = hand.press("j", "/edits/next")
    hand.wait_for(2)
    assert page.evaluate("() => [...viewer.position.value].slice(0, 3)") == pytest.approx(found["position"])
    assert page.locator("#clew-edits").inner_text().startswith("apart at score 0.59")
    hand.press("k", "/edits/seen")
    assert edits.seen() == {(3, 4)}
    hand.point(40, 40)
    assert hand.press("d", "/edits/done")["text"].startswith("segment is done")
    assert edits.done() == {1}
    hand.press("f", "/edits/one")
    hand.point(40, 58)
    hand.press("g", "/edits/other")
    made = hand.press("c", "/edits/cut")
    assert len(made["add"]) == 2, made["text"]
    url = "viewer.layerManager.getLayerByName('corrected').layer.dataSources[0].spec.url"
    page.wait_for_function(f"() => {url}.endsWith('/segments1')")
    drawn = "viewer.layerManager.getLayerByName('one side').layer.localAnnotations"
    assert page.evaluate(f"() => [...{drawn}].length") == 0
    page.evaluate(READY)
    assert len(edits.apply().fragments) == 7
    assert edits.done() == set(), "what was divided is not done"
    page.wait_for_function(CALM)


def test_a_second_page_looks_on_and_refuses_edits(viewer, edits, looking, open_page):
    pages = open_page(address_of(viewer), WINDOW), open_page(address_of(looking), WINDOW, expected="400")
    hand, reader = map(Hand, pages)
    for each in (hand, reader):
        each.select(40, 44)
        each.select(56, 52)
    edits.merge((8, 44, 40), (8, 52, 56))
    for each in (hand, reader):
        each.wait_for(1)
    edits.split([(8, 44, 40)], [(8, 52, 56)])
    for each in (hand, reader):
        each.wait_for(2)
    url = "viewer.layerManager.getLayerByName('all-corrected').layer.dataSources[0].spec.url"
    reader.page.wait_for_function(f"() => {url}.endsWith('~2/')")
    assert "only looked at here" in reader.press("Control+z", "/edits/undo")["text"]
    reader.press("Shift+M")
    reader.click(40, 44)
    reader.click(56, 52)
    assert "only looked at here" in reader.press("Shift+Enter", "/merge")["message"]
    reader.page.get_by_text("only looked at here").last.wait_for()
    reader.press("Shift+M")
    reader.wait_for(2)
    assert [row["kind"] for row in edits.history()] == ["merge", "split"]
