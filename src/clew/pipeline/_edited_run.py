"""`clew.open_edits`: the edits of a run, on its tables and volumes."""

from pathlib import Path
from typing import Any

from clew.errors import InputError
from clew.pipeline._curve import used_threshold
from clew.pipeline._edits import Edits
from clew.pipeline._files import FILE_NAMES, chosen_threshold, open_affinities, open_sized
from clew.pipeline._tables import load_merge_tree, load_region_graph
from clew.pipeline._viewed import is_run, paths_of_run
from clew.segmentation.agglomeration import MergeTree

EDITS = "edits.sqlite"
"""The file of edits in the folder of a run."""
NEEDED = ("fragments", "region_graph", "merge_tree")


def open_edits(
    run: str | Path,
    *,
    edits: str | Path | None = None,
    threshold: float | None = None,
    user: str = "",
    read_only: bool = False,
) -> Edits:
    """Open the edits of a run.

    Parameters
    ----------
    run : str or Path
        Folder with fragments, region graph and merge tree, as `clew segment` writes it. Affinities are used where the run says
        which they were.
    edits : str or Path, optional
        The file; by default `edits.sqlite` in the folder, made where there is none.
    threshold : float, optional
        Where the merge tree is cut before any edit; by default as in the segmentation of the run.
    user : str, optional
        By default the name of the account.
    read_only : bool
        Read along while another process may write.

    Returns
    -------
    Edits

    Raises
    ------
    InputError
        For a folder that lacks one of these, or as `Edits`.

    Examples
    --------
    >>> affinities = np.full((3, 6, 6, 12), 255, np.uint8)
    >>> affinities[2, :, :, 6] = 0  # nothing holds x = 5 and x = 6 together
    >>> clew.save_volume("affinities.zarr", affinities, voxel_size=(8, 8, 8))
    >>> from clew import pipeline
    >>> pipeline.segment("affinities.zarr", "run", threshold=0.5)  # doctest: +ELLIPSIS
    extract-fragments...
    >>> with clew.open_edits("run") as edits:
    ...     number = edits.merge((0, 0, 5), (0, 0, 6), comment="one neurite")
    ...     edits.apply().lookup.tolist()
    [1, 1]
    """
    paths = paths_of_edited(str(run))
    tree, attributes = load_merge_tree(paths["merge_tree"])
    used = used_threshold(paths["merge_tree"], paths.get("segmentation")) if threshold is None else threshold
    chosen = chosen_threshold(used, attributes, tree.score, paths["merge_tree"])
    return edits_on(paths, edits or Path(run) / EDITS, tree, chosen, user=user, read_only=read_only)


def paths_of_edited(run: str) -> dict[str, str]:
    """The parts of a run that has all that edits are about."""
    if not is_run(run):
        raise InputError(f"{run} is no folder of a run: wanted what clew segment or segment-blocks wrote")
    paths = paths_of_run(run)
    missing = [FILE_NAMES[name] for name in NEEDED if name not in paths]
    if missing:
        advice = "clew segment writes them"
        if missing == [FILE_NAMES["region_graph"]]:
            made = Path(run, *missing)
            advice = f"of a run in blocks it is made by clew build-region-graph AFFINITIES {paths['fragments']} {made}"
        raise InputError(f"{run} has no {' and no '.join(missing)}, which edits are about: {advice}")
    return paths


def edits_on(paths: dict[str, str], file: str | Path, tree: MergeTree, threshold: float, **options: Any) -> Edits:
    """The edits in a file, on the region graph, fragments and affinities of a run."""
    graph, _ = load_region_graph(paths["region_graph"])
    fragments = open_sized(paths["fragments"], None)
    affinities = open_affinities(paths["affinities"], fragments.voxel_size) if "affinities" in paths else None
    if affinities is not None and affinities.shape[1:] != fragments.shape:
        affinities = None
    return Edits(file, graph, tree, fragments, threshold=threshold, affinities=affinities, **options)
