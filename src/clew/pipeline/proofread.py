"""`clew proofread`: folder of a run → a page that merges and splits segments."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge

from clew.errors import InputError
from clew.pipeline._declare import stage
from clew.pipeline._edits import Edits
from clew.pipeline._files import FILE_NAMES, open_affinities, open_sized, refuse_existing_outputs
from clew.pipeline._options import VoxelSize
from clew.pipeline._page import Page, layer_of, layers_of, tree_of
from clew.pipeline._progress import say
from clew.pipeline._tables import load_region_graph
from clew.pipeline._viewed import is_run, paths_of_run
from clew.ranges import Fraction
from clew.segmentation.agglomeration import MergeTree

EDITS = "edits.sqlite"
NEEDED = ("fragments", "region_graph", "merge_tree")
KEYS = """double-click selects a segment; then, over the sections or in 3D:
  shift+M       merge: ctrl-click in one segment, ctrl-click in the other, shift+enter
  shift+C       split: ctrl-click on one side (red), g changes the colour, ctrl-click on the other side (blue), shift+enter
  ctrl+z, ctrl+y  undo, redo
every edit is on the disk before the page shows it"""


@stage
def proofread(
    run: str,
    *,
    raw: str | None = None,
    edits: str | None = None,
    threshold: Fraction | None = None,
    user: str = "",
    comment: str = "",
    read_only: bool = False,
    export: str | None = None,
    overwrite: bool = False,
    state: str | None = None,
    voxel_size: VoxelSize,
    port: Annotated[int, Ge(0)] = 0,
) -> None:
    """Merge and split segments in the browser (neuroglancer); runs until Ctrl-C.

    Parameters
    ----------
    run
        Folder of `segment` or `segment-blocks`, with fragments, region graph and merge tree.
    raw
        Raw volume (z, y, x), where the run does not say which it was.
    edits
        File of edits, made where there is none; by default edits.sqlite in the folder of the run.
    threshold
        Where the merge tree is cut before any edit; by default as for `view`.
    user
        Name that is kept with each edit; by default that of the account.
    comment
        Sentence that is kept with each edit.
    read_only
        Look only, while another process may edit.
    export
        File (JSON lines) to write the edits to, instead of a page.
    overwrite
        Replace the file of `export`.
    state
        File (JSON) in which the view is kept.
    port
        Port on this machine; 0 takes a free one.
    """
    refuse_existing_outputs(overwrite, export)
    page = Page(port, state)
    paths = _paths(run, raw)
    tree, chosen = tree_of(paths, threshold)
    assert tree is not None
    options = {"user": user, "comment": comment, "read_only": read_only or export is not None}
    with _opened(edits or str(Path(run) / EDITS), paths, tree, chosen, **options) as opened:
        if export:
            opened.export(export, overwrite=overwrite)
            say(f"{export} is written")
            return
        layers = layers_of(paths, voxel_size.voxel_size, tree, hidden=("segmentation",))
        layers.append(layer_of("corrected", paths["fragments"], True, layers, voxel_size.voxel_size, editor=opened))
        broken = opened.apply().broken
        if broken:
            say(f"{len(broken)} edits do not hold at threshold {chosen:g}: numbers {', '.join(map(str, broken[:10]))}")
        say(KEYS)
        page.serve(layers, chosen)


def _paths(run: str, raw: str | None) -> dict[str, str]:
    """What is needed of a run, and what else can be shown."""
    if not is_run(run):
        raise InputError(f"{run} is no folder of a run: wanted what clew segment or segment-blocks wrote")
    found = paths_of_run(run) | ({} if raw is None else {"raw": raw})
    missing = [FILE_NAMES[name] for name in NEEDED if name not in found]
    if missing:
        raise InputError(f"{run} has no {' and no '.join(missing)}, which proofreading needs: clew segment writes them")
    return found


@contextmanager
def _opened(file: str, paths: dict[str, str], tree: MergeTree, threshold: float, **options: Any) -> Iterator[Edits]:
    """The edits of a run, on its region graph and fragments."""
    graph, _ = load_region_graph(paths["region_graph"])
    fragments = open_sized(paths["fragments"], None)
    affinities = open_affinities(paths["affinities"], fragments.voxel_size) if "affinities" in paths else None
    if affinities is not None and affinities.shape[1:] != fragments.shape:
        affinities = None
    edits = Edits(file, graph, tree, fragments, threshold=threshold, affinities=affinities, **options)
    try:
        yield edits
    finally:
        edits.close()
