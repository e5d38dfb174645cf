"""`clew proofread`: folder of a run → a page that merges and splits segments."""

from pathlib import Path
from typing import Annotated

from annotated_types import Ge

from clew.pipeline._declare import stage
from clew.pipeline._edited_run import EDITS, edits_on, paths_of_edited
from clew.pipeline._files import refuse_existing_outputs
from clew.pipeline._options import VoxelSize
from clew.pipeline._page import Page, layer_of, layers_of, tree_of
from clew.pipeline._progress import say
from clew.proofreading.doubts import Rank
from clew.ranges import Fraction

KEYS = """double-click selects a segment; then, over the sections or in 3D:
  shift+M       merge: ctrl-click in one segment, ctrl-click in the other, shift+enter
  shift+C       split: ctrl-click on one side (red), g changes the colour, ctrl-click on the other side (blue), shift+enter
  ctrl+z ctrl+y undo, redo
  f, g, c       the same, also through a fragment: f over points of one side, g over points of the other, c cuts
  j, k          go to the most doubtful contact that is left; note it as seen and go on
  d             the segment below the mouse is done, or not any more
  p             over two points of a segment: draws the way from one to the other
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
    rank: Rank = "voi",
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
    rank
        Which doubtful contact comes first: "voi", that of most expected VOI; "score", that nearest to the threshold; "size",
        the largest of those that are near.
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
    paths = paths_of_edited(run) | ({} if raw is None else {"raw": raw})
    tree, chosen = tree_of(paths, threshold)
    assert tree is not None
    options = {"user": user, "comment": comment, "read_only": read_only or export is not None}
    with edits_on(paths, edits or Path(run) / EDITS, tree, chosen, **options) as opened:
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
        page.serve(layers, chosen, rank=rank)
