"""`clew view`: volumes, or the folder of a run → a page in the browser."""

from collections.abc import Sequence
from typing import Annotated

from annotated_types import Ge

from clew.errors import InputError
from clew.pipeline._declare import stage
from clew.pipeline._options import VoxelSize
from clew.pipeline._page import Page, layers_of, tree_of
from clew.pipeline._viewed import is_run, paths_of_run, read_marks
from clew.ranges import Fraction
from clew.view.layers import Mark, Marks


@stage
def view(
    data: str | None = None,
    *,
    raw: str | None = None,
    segmentation: str | None = None,
    truth: str | None = None,
    affinities: str | None = None,
    fragments: str | None = None,
    merge_tree: str | None = None,
    errors: str | None = None,
    error: Annotated[int, Ge(1)] | None = None,
    threshold: Fraction | None = None,
    state: str | None = None,
    screenshot: str | None = None,
    voxel_size: VoxelSize,
    port: Annotated[int, Ge(0)] = 0,
) -> None:
    """Look at volumes in the browser (neuroglancer); runs until Ctrl-C.

    Parameters
    ----------
    data
        Raw volume (z, y, x), or the folder of a run, which may be at work: all that is in it is shown.
    raw
        Raw volume (z, y, x), beside the folder of a run.
    segmentation, truth
        Label volumes (z, y, x).
    affinities
        Affinities (offset, z, y, x).
    fragments
        Fragments (z, y, x).
    merge_tree
        Merge tree of the fragments: the segmentation then follows a slider of the threshold.
    errors
        List of errors (JSON) that `evaluate --where` wrote: they are drawn, and a right click in their list goes there.
    error
        Rank of an error to begin at: at its place, with its segments selected.
    threshold
        Where the slider begins; by default at the threshold of the errors, or the one that was used, or is stored.
    state
        File (JSON) in which the view is kept: it begins as that says, and every change is written to it.
    screenshot
        Picture (PNG) to write instead of waiting for a browser; needs Chromium.
    port
        Port on this machine; 0 takes a free one.
    """
    given = {"raw": raw, "segmentation": segmentation, "truth": truth, "affinities": affinities, "fragments": fragments,
             "merge_tree": merge_tree, "errors": errors}  # fmt: skip
    page = Page(port, state, screenshot)
    paths = _paths(data, {name: path for name, path in given.items() if path is not None})
    marks, listed_at = read_marks(paths["errors"]) if "errors" in paths else ([], None)
    start = None if error is None else _mark_of(error, marks, paths.get("errors"))
    tree, chosen = tree_of(paths, listed_at if threshold is None else threshold)
    page.serve(layers_of(paths, voxel_size.voxel_size, tree), chosen, marks, start)


def _paths(data: str | None, given: dict[str, str]) -> dict[str, str]:
    """What is shown, by its name.

    What was given wins over what is in the folder of a run.
    """
    if data is None:
        return given
    if is_run(data):
        return paths_of_run(data) | given
    if "raw" in given:
        raise InputError(f"{data} and {given['raw']} are two raw volumes: give one, or the folder of a run and --raw")
    return {"raw": data} | given


def _mark_of(error: int, marks: Sequence[Marks], path: str | None) -> Mark:
    """The place of the error of a rank."""
    if path is None:
        raise InputError(
            "--error is a rank in a list of errors: give --errors, too, which clew evaluate --where writes"
        )
    found = {mark.rank: mark for listed in marks for mark in listed.marks}
    if error not in found:
        raise InputError(f"{path} lists {len(found)} errors, and {error} is not the rank of one of them")
    return found[error]
