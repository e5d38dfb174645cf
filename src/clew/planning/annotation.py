"""Errors of annotation, found before training: each finding is one line.

Ids, objects in parts, holes and sections are checked.

Arrays are (z, y, x). A finding says what and where (a voxel, or sections) and what to do; it is serious where training
on such labels would go wrong or be refused.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from clew.evaluation.border import section_runs
from clew.space import Lengths, Triple, triple
from clew.training.targets import split_components

Mask = NDArray[np.bool_]
Labels = NDArray[np.uint64]

FEW_VOXELS = 50
"""Objects of fewer voxels, wholly inside the volume, are hardly neurons."""
LARGE_SHARE = 0.01
"""Share of the labelled voxels from which errors of their kind are serious."""
THICK = (3, 5, 5)
"""A gap between objects that does not hold a box of these voxels (z, y, x) is taken for a membrane."""
FEW_PAIRS = 0.2
"""Below this share of the annotated pairs of another axis, an axis is hardly trained; two sections at a place have half."""
ZEROS = 0.05
"""A segmentation has hardly more voxels without a segment."""
INVERT = "clew convert {mask} OUT.zarr --dtype uint8 --range 1,0"
LISTED = 3
"""Examples that a finding names, the worst first."""


class Finding(NamedTuple):
    """One line about what is wrong.

    Parameters
    ----------
    serious : bool
        Whether training, or what else uses the data, would go wrong by it.
    text : str
    mend : str
        What to type, with `{raw}`, `{labels}`, `{mask}` or `{affinities}` where the path of the volume belongs, `{offset}` for
        that of the labels after `move`, and `{one}` for the value of an affinity of 1.
    move : (z, y, x) ints
        Voxels by which labels have to be moved.
    """

    serious: bool
    text: str
    mend: str = ""
    move: Triple = (0, 0, 0)


class Statistics(NamedTuple):
    """What the labels hold.

    Parameters
    ----------
    annotated, labelled : int
        Voxels inside the mask, and those of them with an id.
    objects : int
        Number of ids.
    median_size, largest_size : int
        Voxels of the median and of the largest object.
    touching : float
        Share of the borders of objects at which another object follows without background between.
    edges : (z, y, x) floats
        Share of the neighbouring voxels along each axis whose ids differ.
    box : three pairs of int
        First and last + 1 annotated voxel on each axis.
    density : float
        Share of annotated voxels in this box.
    """

    annotated: int
    labelled: int
    objects: int
    median_size: int
    largest_size: int
    touching: float
    edges: Lengths
    box: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
    density: float


class Components(NamedTuple):
    """Connected components 1..n of labels, face to face.

    Each has a row in the lists; row 0 is the background.

    Parameters
    ----------
    volume : (z, y, x) int64
        The component of each voxel.
    label : (n + 1,) uint64
        The id of each component.
    size : (n + 1,) int64
        Its voxels.
    site : (n + 1,) int64
        Linear index of one of its voxels.
    open : (n + 1,) bool
        Whether it touches the border of the volume or of the annotation, and may go on there.
    """

    volume: NDArray[np.int64]
    label: Labels
    size: NDArray[np.int64]
    site: NDArray[np.int64]
    open: Mask


def check_ids(labels: NDArray[Any]) -> tuple[Labels, list[Finding]]:
    """Turn labels into ids, and find out what is wrong with their values.

    Impossible ids become 0, so that the rest can be checked further.
    """
    findings = []
    kind, largest = labels.dtype.kind, labels.max()
    if kind == "f":
        labels, found = _whole_numbers(labels)
        findings += found
    smallest = labels.min()
    if smallest < 0:
        bad = labels < 0
        findings.append(Finding(True, f"{bad.sum()} voxels have negative ids (smallest {smallest}, {_first(bad)}); "
                                      "set them to 0, or mask them out"))  # fmt: skip
        labels = np.where(bad, 0, labels)
    if kind in "ui" and labels.dtype.itemsize <= 2 and largest == np.iinfo(labels.dtype).max:
        findings.append(Finding(True, f"ids reach {largest}, the largest of {labels.dtype}: larger ones were cut off or "
                                      "wrapped round; write the labels anew as uint64"))  # fmt: skip
    ids = labels.astype(np.uint64)
    if largest > np.iinfo(np.int64).max:
        bad = ids > np.iinfo(np.int64).max
        findings.append(Finding(True, f"{bad.sum()} voxels have ids beyond 63 bits ({_first(bad)}: {ids[bad][0]}), as -1 "
                                      "becomes without its sign; set them to 0, or mask them out"))  # fmt: skip
        ids[bad] = 0
    elif largest > np.iinfo(np.uint32).max:
        findings.append(Finding(False, f"ids reach {largest}, beyond 32 bits; clew keeps them apart, but do not store "
                                       "them as uint32"))  # fmt: skip
    return ids, findings


def find_components(labels: Labels, mask: Mask) -> Components:
    """The connected components of the labels inside the mask."""
    volume = split_components(np.where(mask, labels, np.uint64(0))).view(np.int64)
    flat = volume.ravel()
    size = np.bincount(flat)
    label, site = np.zeros(size.shape, np.uint64), np.zeros(size.shape, np.int64)
    label[flat] = labels.ravel()
    label[0] = 0
    site[flat] = np.arange(flat.size)
    leaves = np.zeros(size.shape, bool)
    for here, there in face_pairs():
        leaves[volume[here][~mask[there]]] = True
    for axis in range(3):
        leaves[np.take(volume, [0, -1], axis)] = True
    return Components(volume, label, size, site, leaves)


def check_pieces(found: Components) -> list[Finding]:
    """Find objects with a part that is cut off from the rest inside the volume."""
    ids, owner = np.unique(found.label[1:], return_inverse=True)
    size, leaves = found.size[1:], found.open[1:]
    largest = np.zeros(len(ids), np.int64)
    np.maximum.at(largest, owner, size)
    cut = np.flatnonzero(~leaves & (size < largest[owner]))
    if not cut.size:
        return _many_pieces(found, ids, owner, largest)
    share = size[cut].sum() / size.sum()
    worst = cut[np.argsort(-size[cut], kind="stable")]
    named = [f"id {ids[owner[piece]]}: {voxels(size[piece])} at {_place(found, piece + 1)}" for piece in worst[:LISTED]]
    return [Finding(bool(share > LARGE_SHARE), f"{_count(np.unique(owner[cut]).size, 'object')} in pieces: "
                    f"{_count(cut.size, 'piece')} inside the volume ({share:.2%} of the labelled voxels) do not touch the "
                    f"rest of their object ({listed(named, cut.size)}); join them, or give them ids of their own")]  # fmt: skip


def check_sizes(found: Components) -> list[Finding]:
    """Find objects of a few voxels inside the volume; or only one object, or none."""
    ids, owner = np.unique(found.label[1:], return_inverse=True)
    if len(ids) < 2:
        what = f"only one object (id {ids[0]})" if len(ids) else "no object"
        return [Finding(True, f"the annotated part holds {what}; there is no border to learn from")]
    total, leaves = np.bincount(owner, found.size[1:]), np.zeros(len(ids), bool)
    np.logical_or.at(leaves, owner, found.open[1:])
    few = np.flatnonzero((total < FEW_VOXELS) & ~leaves)
    if not few.size:
        return []
    first = {object_: int(np.flatnonzero(owner == object_)[0]) + 1 for object_ in few[:LISTED]}
    named = [f"id {ids[n]}: {voxels(int(total[n]))} at {_place(found, piece)}" for n, piece in first.items()]
    return [Finding(False, f"{_count(few.size, 'object')} of fewer than {FEW_VOXELS} voxels ({listed(named, few.size)}); "
                           "join them to their neuron, or set them to 0")]  # fmt: skip


def check_holes(labels: Labels, mask: Mask) -> list[Finding]:
    """Find background that is closed in by one object or by several.

    Membranes of background between objects do not count.
    """
    if not ((labels == 0) & mask).any():
        return []
    empty = find_components(((labels == 0) & mask).astype(np.uint64), mask)
    closed = ~empty.open
    closed[0] = False
    if not closed.any():
        return []
    low, high = np.full(closed.shape, np.iinfo(np.uint64).max, np.uint64), np.zeros(closed.shape, np.uint64)
    for here, there in face_pairs():
        pairs = closed[empty.volume[here]] & (labels[there] > 0)
        components, ids = empty.volume[here][pairs], labels[there][pairs]
        np.minimum.at(low, components, ids)
        np.maximum.at(high, components, ids)
    labelled = max(int(np.count_nonzero(labels)), 1)
    thick = np.zeros_like(closed)
    thick[empty.volume[ndimage.minimum_filter(empty.volume > 0, THICK, mode="constant")]] = True
    findings = []
    for kind, chosen, advice in (
        ("inside objects", closed & (low == high), "fill them, or mask them out"),
        ("between objects", closed & (low < high) & thick, "label what is there, or mask it out where nobody looked"),
    ):
        holes = np.flatnonzero(chosen)
        if holes.size:
            largest = holes[np.argmax(empty.size[holes])]
            total = int(empty.size[holes].sum())
            within = f", in id {low[largest]}" if kind == "inside objects" else ""
            findings.append(Finding(
                total > LARGE_SHARE * labelled,
                f"{_count(holes.size, 'unlabelled hole')} {kind} ({voxels(total)}; the largest {voxels(empty.size[largest])} "
                f"at {_place(empty, largest)}{within}); {advice}"))  # fmt: skip
    return findings


def check_sections(labels: Labels, mask: Mask) -> list[Finding]:
    """Find sections and slabs that count as annotated but have few labels or none."""
    findings = []
    labelled = (labels > 0) & mask
    for axis, name in enumerate("zyx"):
        others = tuple(other for other in range(3) if other != axis)
        wanted, have = mask.sum(others), labelled.sum(others)
        blank = np.flatnonzero((wanted > 0) & (have == 0))
        if 0 < blank.size < np.count_nonzero(wanted):
            findings.append(Finding(True, f"no label at {name} {ranges(blank)}, which count as annotated: they would be "
                                          "learnt as background; mask them out (mask 0)",
                                    "clew convert {labels} MASK.zarr --mask annotated" if axis == 0 else ""))  # fmt: skip
        share = have / np.maximum(wanted, 1)
        filled = have > 0
        poor = (
            np.flatnonzero(filled & (share < 0.5 * np.median(share[filled])))
            if axis == 0 and filled.any()
            else blank[:0]
        )
        if poor.size:
            findings.append(Finding(False, f"less than half of the usual labels in sections z {ranges(poor)}; complete "
                                           "them, or mask them out"))  # fmt: skip
    return findings


def annotated_pairs(mask: Mask) -> Triple:
    """Pairs of neighbouring annotated voxels along z, y and x.

    Affinities are learnt from them.
    """
    return triple(int(np.count_nonzero(mask[here] & mask[there])) for here, there in face_pairs()[::2])


def check_pairs(mask: Mask) -> list[Finding]:
    """Find annotation that teaches little or nothing along an axis.

    Single sections do so along z.
    """
    pairs, findings = annotated_pairs(mask), []
    for name, number in zip("zyx", pairs, strict=True):
        if number < FEW_PAIRS * max(pairs):
            trained = "hardly" if number else "never"
            text = (f"{number:,} pairs of neighbouring annotated voxels along {name} ({max(pairs):,} along another axis): "
                    f"affinities along {name} are {trained} trained; annotate two neighbouring sections or more at "
                    "each place")  # fmt: skip
            findings.append(Finding(number == 0, text))
    return findings


def check_mask(labels: Labels, mask: Mask) -> list[Finding]:
    """Find a mask that leaves nothing over or hides labels; and much background."""
    if not mask.any():
        return [Finding(True, "the mask excludes every voxel; 1 means annotated, 0 means that nobody looked")]
    inside = int(np.count_nonzero(labels[mask]))
    total = int(np.count_nonzero(labels))
    if not inside:
        where = f", the {voxels(total)} with ids all lie outside it: is the mask inverted?" if total else ""
        return [
            Finding(
                True,
                f"no voxel inside the mask has an id{where or '; there is nothing to learn'}",
                INVERT if total else "",
            )
        ]
    findings = []
    if total - inside > inside:
        findings.append(Finding(True, f"more labels lie outside the mask ({voxels(total - inside)}) than inside "
                                      f"({voxels(inside)}): is the mask inverted?", INVERT))  # fmt: skip
    background = 1 - inside / np.count_nonzero(mask)
    if background > 0.5:
        findings.append(Finding(False, f"{background:.0%} of the annotated voxels are background; where nobody looked, "
                                       "give a mask (0 there)"))  # fmt: skip
    return findings


def check_zeros(labels: Labels) -> list[Finding]:
    """Find a segmentation that leaves many voxels without a segment."""
    share = 1 - np.count_nonzero(labels) / labels.size
    if share <= ZEROS:
        return []
    return [Finding(True, f"{share:.0%} of the segmentation are 0, and counted as one segment each where it is evaluated; give "
                          "clew segment a lower --boundary-threshold and --low, or check the affinities")]  # fmt: skip


def label_statistics(labels: Labels, mask: Mask, found: Components) -> Statistics:
    """Count what the labels inside the mask hold."""
    ids, owner = np.unique(found.label[1:], return_inverse=True)
    total = np.bincount(owner, found.size[1:]) if len(ids) else np.zeros(1)
    touching, borders, edges = 0, 0, []
    for here, there in face_pairs()[::2]:
        valid = mask[here] & mask[there]
        differs = (labels[here] != labels[there]) & valid
        between = differs & (labels[here] != 0) & (labels[there] != 0)
        touching, borders = touching + int(between.sum()), borders + int(differs.sum())
        edges.append(float(differs.sum() / max(int(valid.sum()), 1)))
    box = []
    for axis in range(3):
        filled = np.flatnonzero(mask.any(tuple(other for other in range(3) if other != axis)))
        box.append((int(filled[0]), int(filled[-1]) + 1) if filled.size else (0, 0))
    annotated = int(np.count_nonzero(mask))
    volume = max(int(np.prod([stop - start for start, stop in box])), 1)
    return Statistics(annotated, int(found.size[1:].sum()), len(ids), int(np.median(total)), int(total.max()),
                      touching / max(borders, 1), (edges[0], edges[1], edges[2]), (box[0], box[1], box[2]),
                      annotated / volume)  # fmt: skip


def face_pairs() -> list[tuple[tuple[slice, ...], tuple[slice, ...]]]:
    """Slices of all voxels and of their neighbours through each of the six faces.

    Their order is z forth, z back, y forth, …
    """
    pairs = []
    for axis in range(3):
        first = tuple(slice(None, -1) if a == axis else slice(None) for a in range(3))
        second = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
        pairs += [(first, second), (second, first)]
    return pairs


def ranges(numbers: Sequence[int] | NDArray[np.int64]) -> str:
    """Write ascending whole numbers as text: 3–5, 9."""
    runs: list[list[int]] = []
    for number in map(int, numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1][1:] = [number]
        else:
            runs.append([number])
    texts = ["–".join(map(str, run)) for run in runs]
    return ", ".join(texts[:8]) + (f" and {len(texts) - 8} more" if len(texts) > 8 else "")


def voxels(number: int) -> str:
    """A number of voxels as text."""
    return _count(number, "voxel")


def listed(named: list[str], number: int) -> str:
    """Write examples as text, with the number of those left out."""
    more = number - len(named)
    return "; ".join(named) + (f"; and {more} more" if more > 0 else "")


def _many_pieces(found: Components, ids: Labels, owner: NDArray[np.int64], largest: NDArray[np.int64]) -> list[Finding]:
    """Find objects of many large parts.

    Some may be joined outside the volume, but hardly all are.
    """
    large = found.size[1:] > 0.1 * largest[owner]
    pieces = np.bincount(owner[large], minlength=len(ids))
    runs = section_runs(
        np.asarray(found.volume.any(axis=(1, 2)))
    )  # an object has a piece or more in each run of annotated sections
    many = np.flatnonzero(pieces > 8 * max(len(runs), 1))
    if not many.size:
        return []
    worst = many[np.argsort(-pieces[many], kind="stable")]
    named = [f"id {ids[n]}: {pieces[n]} pieces, the largest {voxels(largest[n])}" for n in worst[:LISTED]]
    return [Finding(bool(many.size > 0.1 * len(ids)), f"{_count(many.size, 'object')} in more than 8 large pieces "
                    f"({listed(named, many.size)}); are ids used twice, or did they overflow?")]  # fmt: skip


def _whole_numbers(labels: NDArray[Any]) -> tuple[NDArray[np.int64], list[Finding]]:
    text = ""
    exact = 2.0 ** (np.finfo(labels.dtype).nmant + 1)
    if not np.isfinite(labels).all() or (labels != np.rint(labels)).any():
        text = f"labels are {labels.dtype} with fractions or NaN: were they resampled by interpolation? write them anew"
    elif labels.max() >= exact:
        text = f"labels are {labels.dtype} and reach {labels.max():.0f}: from {exact:.0f} on ids run together; write them anew"
    return np.nan_to_num(labels).clip(-1, 2.0**62).astype(np.int64), [Finding(True, text)] if text else []


def _first(where: Mask) -> str:
    return f"first at voxel {_voxel(np.argmax(where), where.shape)}"


def _place(found: Components, component: Any) -> str:
    return str(_voxel(found.site[component], found.volume.shape))


def _voxel(index: Any, shape: tuple[int, ...]) -> Triple:
    return triple(map(int, np.unravel_index(int(index), shape)))


def _count(number: int, noun: str) -> str:
    return f"{int(number):,} {noun}{'' if number == 1 else 's'}"
