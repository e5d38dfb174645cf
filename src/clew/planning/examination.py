"""All checks of one annotated volume, and what is known of it afterwards."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from clew.planning.annotation import (
    Finding,
    Labels,
    Statistics,
    check_holes,
    check_pairs,
    check_pieces,
    check_sections,
    check_sizes,
    find_components,
    label_statistics,
)
from clew.planning.choices import VolumeFacts
from clew.planning.membranes import check_gaps, check_membranes
from clew.planning.registration import check_axes, check_registration
from clew.space import Lengths, Triple, triple
from clew.training.sampling import TrainingVolume


class Examined(NamedTuple):
    """An annotated volume and what was found out about it.

    Parameters
    ----------
    facts : VolumeFacts or None
        None where the volume cannot be trained on.
    volume : TrainingVolume or None
        Its arrays.
    statistics : Statistics or None
    findings : list of Finding
    """

    facts: VolumeFacts | None
    volume: TrainingVolume | None
    statistics: Statistics | None
    findings: list[Finding]


def examine(
    name: str,
    raw: NDArray[np.uint8],
    labels: Labels,
    mask: NDArray[np.bool_],
    voxel_size: Lengths,
    findings: Sequence[Finding] = (),
    origin: Triple = (0, 0, 0),
) -> Examined:
    """Run all checks that need raw and labels of one shape.

    Parameters
    ----------
    name : str
        Name of the volume in messages.
    raw : (z, y, x) uint8
    labels : (z, y, x) uint64
        0 where there is no neuron.
    mask : (z, y, x) bool
        True where somebody annotated.
    voxel_size : (z, y, x) floats, nm
    findings : sequence of Finding
        What was found before.
    origin : (z, y, x) ints
        Voxel of the file of raw at which the arrays begin.

    Returns
    -------
    Examined
    """
    components = find_components(labels, mask)
    statistics = label_statistics(labels, mask, components)
    annotated = np.where(mask, labels, 0)
    net = check_membranes(annotated)
    found = [
        *findings,
        *check_sizes(components),
        *check_pieces(components),
        *check_holes(labels, mask),
        *check_sections(labels, mask),
        *check_pairs(mask),
        *(net or [*check_gaps(annotated), *check_registration(raw, labels, mask)]),  # the edge of a net is no dark line
        *check_axes(statistics, voxel_size),
    ]
    facts = VolumeFacts(
        name, triple(raw.shape), voxel_size, statistics.annotated, statistics.box, statistics.density,
        statistics.touching, statistics.objects, origin,
    )  # fmt: skip
    return Examined(facts, TrainingVolume(raw, labels, mask), statistics, found)
