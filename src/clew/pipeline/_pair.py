"""A segmentation and the truth: where both are, and whether they belong together."""

from typing import NamedTuple

from clew.errors import InputError
from clew.evaluation.border import border_agreement
from clew.labels import Labels
from clew.pipeline._files import open_together, share
from clew.pipeline._progress import say
from clew.space import Box, Lengths
from clew.volumes.volume import Volume

LEAST_AGREEMENT = 1.5
"""Times as often as by chance. Measured on FIB-SEM: 7 to 17, shifted by 5 voxels 1.7 to 2.8, of another place 0.9 to 1.0."""


class Pair(NamedTuple):
    """Segmentation and truth, and the box of each in which both are."""

    segmentation: Volume
    truth: Volume
    here: Box
    there: Box


def match_volumes(segmentation: str, truth: str, box: str | None, voxel_size: Lengths | None) -> Pair:
    """Open segmentation and truth, and find where both are, by the offsets in nm."""
    ids, labels = open_together([segmentation, truth], voxel_size)
    part = Box.parse(box, ids.shape)
    both = share(labels, ids)
    here = both.part.overlap(part)
    if here not in (part, both.part):
        raise InputError(f"the box {part} does not lie inside {truth}, which covers {both.part} of {segmentation}")
    if here != part:
        say(f"compared where the truth lies: {here} of {segmentation}")
    return Pair(ids, labels, here, here.within(both.part).shifted(both.outer.low))


def other_place(pair: Pair, ids: Labels, labels: Labels) -> str:
    """Words for a truth that seems to be of another place; "" for others.

    Parameters
    ----------
    pair
        The volumes.
    ids, labels
        What was read of them, (z, y, x).
    """
    agreement = border_agreement(ids, labels)
    if not agreement < LEAST_AGREEMENT:
        return ""
    return (
        f"{pair.truth.source} seems to be the truth of another place, or mirrored or shifted: its borders are borders of "
        f"{pair.segmentation.source} {agreement:.1f} times as often as by chance, and about 10 times where they belong together. "
        "Look at both with clew view"
    )
