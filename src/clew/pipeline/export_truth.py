"""`clew export-truth`: segments that a person corrected → a volume to train on."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clew.errors import InputError
from clew.pipeline._annotated import with_surroundings
from clew.pipeline._declare import Record, stage
from clew.pipeline._edited_run import open_edits, paths_of_edited
from clew.pipeline._edits import Edits
from clew.pipeline._files import open_sized, share
from clew.pipeline._memory import refuse_too_large
from clew.pipeline._options import Output
from clew.pipeline._progress import say, warn
from clew.pipeline._protection import refuse_overlap
from clew.ranges import Fraction
from clew.replace import refuse_existing, written_beside
from clew.segmentation.relabel import relabel
from clew.space import Box
from clew.volumes.formats.cremi import CREMI_LAYOUT
from clew.volumes.location import HDF5_SUFFIXES
from clew.volumes.place import offset_of
from clew.volumes.save import save_volume
from clew.volumes.volume import Volume


@stage
def export_truth(
    run: str,
    truth: str,
    *,
    box: str | None = None,
    edits: str | None = None,
    threshold: Fraction | None = None,
    raw: str | None = None,
    output: Output,
    record: Record,
) -> None:
    """Write the corrected segments of a run as a volume to train on.

    Only segments that are marked as done count as annotated. Read by check, plan and train.

    Parameters
    ----------
    run
        Folder of a run, with fragments, region graph, merge tree and edits.
    truth
        Output, one file in the layout of CREMI, truth.h5: raw and what is around it, labels, and the mask of what is done.
    box
        Part in voxels of the run, as z0:z1,y0:y1,x0:x1.
    edits
        File of edits; by default edits.sqlite in the folder of the run.
    threshold
        Where the merge tree was cut when segments were marked; by default as in the run.
    raw
        Raw volume, where the run does not say which it was made of.
    """
    if Path(truth).suffix.lower() not in HDF5_SUFFIXES:
        raise InputError(f"{truth} must end in .h5: raw, labels and mask go into one file in the layout of CREMI")
    paths = paths_of_edited(run)
    path = raw or paths.get("raw")
    if path is None:
        raise InputError(f"{run} does not say of which raw volume it was made: give it with --raw")
    refuse_overlap([edits, path, *paths.values()], [truth])
    refuse_existing(Path(truth), output.overwrite)
    with open_edits(run, edits=edits, threshold=threshold, read_only=True) as opened:
        fragments = opened.fragments
        part = Box.parse(box, fragments.shape)
        refuse_too_large("export-truth", run, part.size, fragments.dtype.itemsize)
        source = open_sized(path, fragments.voxel_size)
        around = _around(source, fragments, part)
        labels, mask = _done_in(opened, part)
    with written_beside(Path(truth), output.overwrite) as partial:
        inner = {"voxel_size": fragments.voxel_size, "offset": offset_of(fragments, part.low)}
        outer = {"voxel_size": source.voxel_size, "offset": offset_of(source, around.low)}
        volumes = (source.read(around), outer), (labels, inner), (mask.astype(np.uint8), inner)
        for name, (values, place) in zip(CREMI_LAYOUT, volumes, strict=True):
            save_volume(f"{partial}:{name}", values, attributes=record, **place)
    say(f"{mask.mean():.1%} of {part} is done")


def _around(source: Volume, fragments: Volume, part: Box) -> Box:
    """The box of raw with a part of the fragments, and what networks see around it."""
    both = share(source, fragments)
    shift = (there - here for there, here in zip(both.outer.low, both.part.low, strict=True))
    inner = part.shifted(shift).overlap(Box.whole(source.shape))
    if not inner.size:
        raise InputError(f"{source.source} has no voxel of the box {part}: give another --box")
    return with_surroundings(inner, source)


def _done_in(edits: Edits, part: Box) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """The segments in a box that are done, 0 elsewhere, and which voxels are of one."""
    found, done = edits.apply(), np.array(sorted(edits.done()), np.uint64)
    ids, is_done = edits.read_fragments(part), np.isin(found.lookup, done)
    mask = relabel(ids, found.fragments, is_done.astype(np.uint64)) != 0
    if not mask.any():
        raise InputError(
            f"no segment in {part} is done: {len(done)} are in the whole, at threshold {edits.threshold:g}; mark them "
            "(clew.Edits.mark_done), or give the --threshold at which they were marked"
        )
    if not edits.segments().touch(done):
        warn(
            "no two segments that are done touch, so that nothing says where a border is: mark neighbours as done, too"
        )
    return relabel(ids, found.fragments, np.where(is_done, found.lookup, np.uint64(0))), mask
