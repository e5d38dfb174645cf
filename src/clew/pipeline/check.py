"""`clew check`: volumes and skeletons → what is wrong, and what to type."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clew.errors import FaultyDataError, InputError
from clew.evaluation.skeletons import Skeletons
from clew.grey import looks_like_ids, sample_pieces
from clew.labels import Labels
from clew.pipeline._declare import stage
from clew.pipeline._examined import examine_volume, open_checked, say_findings, say_volume, told
from clew.pipeline._files import inside_of, read_ids
from clew.pipeline._options import VoxelSize
from clew.pipeline._progress import say
from clew.planning.affinities import check_channels, check_polarity, scaled
from clew.planning.annotation import (
    Finding,
    check_ids,
    check_pieces,
    check_sizes,
    check_zeros,
    find_components,
)
from clew.planning.contrast import check_contrast
from clew.planning.membranes import check_gaps, check_membranes
from clew.planning.traces import check_traces
from clew.space import Box, Lengths, triple
from clew.volumes.affinities import affinity_offsets, check_affinity_values
from clew.volumes.formats.cremi import CREMI_LAYOUT
from clew.volumes.formats.nml import is_nml, read_nml
from clew.volumes.formats.swc import read_swc, swc_files
from clew.volumes.open import list_datasets
from clew.volumes.place import place_in
from clew.volumes.volume import Volume

LARGEST, LARGEST_LABELS = 512, 256
"""Voxels along each axis of the middle of a volume that is looked at: of raw, and of labels."""
OUTSIDE = 0.5
"""Share of the nodes of skeletons outside of their volume from which on they lie elsewhere."""
SAMPLE = 64
"""Voxels along each axis by which labels are told from raw."""
READ_WHOLE = 2**27
"""Labels of so many voxels are read whole, to look for skeletons of another place."""
SEGMENTING = ("extract-fragments", "relabel", "relabel-blocks", "segment-blocks")
"""Commands that record themselves with a segmentation."""


class Checked(NamedTuple):
    """What an input was taken for, what is wrong with it, and the ids that it holds."""

    kind: str
    findings: list[Finding]
    ids: Labels = np.zeros(0, np.uint64)


@stage
def check(data: list[str], *, voxel_size: VoxelSize) -> None:
    """Look for what is wrong with volumes and skeletons, before hours are spent.

    Of a large volume the middle is looked at. Exit code 1 where something is wrong, 2 where something cannot be read.

    Parameters
    ----------
    data
        Raw, labels, a mask or affinities, each by itself or as what belongs together: FILE.h5 in the layout of CREMI, RAW,LABELS or
        RAW,LABELS,MASK as for train; AFFINITIES,LABELS or AFFINITIES,RAW; VOLUME,SKELETONS (.nml, .swc).
    """
    if not data:
        raise InputError("check needs something to look at: clew check raw.zarr,labels.zarr")
    items = [part for item in data for part in _items(item)]
    check_one = _check if len(items) == 1 else _check_or_say
    found = {item: check_one(item, voxel_size.voxel_size) for item in items}
    for text in _repeated_ids({item: each.ids for item, each in found.items() if each.ids.size}):
        say(f"note        {text}")
    serious = sum(finding.serious for each in found.values() for finding in each.findings)
    if serious:
        several = "s are" if serious > 1 else " is"
        raise FaultyDataError(f"{serious} serious finding{several} listed above; mend what each says, and check again")
    say("nothing serious was found")


def _items(item: str) -> Iterator[str]:
    """An input, or each dataset of a file that is not in the layout of CREMI."""
    path = Path(item)
    if "," in item or not path.is_file() or path.suffix.lower() not in (".h5", ".hdf", ".hdf5"):
        yield item
        return
    rows = [row for row in list_datasets(item) if not row.problem]
    names = {row.name for row in rows}
    if set(CREMI_LAYOUT[:2]) <= names or not rows:
        yield item
        return
    yield from (f"{item}:{row.name}" for row in rows)


def _check_or_say(item: str, voxel_size: Lengths | None) -> Checked:
    """Look at one of several inputs; that it cannot be read is a finding."""
    try:
        return _check(item, voxel_size)
    except InputError as error:
        say(item)
        found = [Finding(True, str(error))]
        say_findings(found)
        return Checked("nothing that can be read", found)


def _check(item: str, voxel_size: Lengths | None) -> Checked:
    """Look at one input, and say what was found."""
    paths = item.split(",")
    if any(_is_skeletons(path) for path in paths):
        found = _check_skeletons(paths, voxel_size)
    elif (
        len(paths) == 1
        and ":" not in item
        and Path(item).suffix.lower() in (".h5", ".hdf", ".hdf5")
        and _is_cremi(item)
    ):
        return _check_annotated(item, voxel_size)
    else:
        volume, findings = open_checked(paths[0], voxel_size)
        if volume.axes == "czyx":
            found = _check_affinities(volume, paths, findings, voxel_size)
        elif len(paths) > 1:
            return _check_annotated(item, voxel_size)
        else:
            found = _check_volume(volume, findings)
    found = found._replace(findings=told(found.findings, {}))
    say(item)
    say(f"  taken for   {found.kind}")
    say_findings(found.findings)
    return found


def _is_cremi(item: str) -> bool:
    return set(CREMI_LAYOUT[:2]) <= {row.name for row in list_datasets(item)}


def _check_annotated(item: str, voxel_size: Lengths | None) -> Checked:
    """Raw with labels, as for train."""
    seen = examine_volume(item, voxel_size)
    say_volume(item, seen)
    ids = np.zeros(0, np.uint64) if seen.volume is None else np.unique(seen.volume.labels[seen.volume.mask])
    return Checked("raw with labels", seen.findings, ids[ids > 0])


def _check_volume(volume: Volume, findings: Sequence[Finding]) -> Checked:
    """A volume by itself: raw, labels or a mask, as its values say."""
    box = _middle(volume)
    values = volume.read(box)
    if _is_mask(values):
        return Checked(_kind("a mask", box, volume), [*findings, *_check_mask(values, volume)])
    if not looks_like_ids(values):
        _, found = check_contrast(values)
        return Checked(_kind("raw", box, volume), [*findings, *_named(found, raw=volume)])
    box = _middle(volume, LARGEST_LABELS)
    ids, wrong = check_ids(values[box.within(_middle(volume))])
    components = find_components(ids, np.ones(ids.shape, bool))
    wrong += [*check_sizes(components), *check_pieces(components), *check_membranes(ids), *check_gaps(ids)]
    wrong += check_zeros(ids) if volume.attributes.get("stage") in SEGMENTING else []
    return Checked(_kind("labels", box, volume), [*findings, *_named(wrong, labels=volume)], np.unique(ids[ids > 0]))


def _check_mask(values: NDArray[Any], volume: Volume) -> list[Finding]:
    try:
        inside = inside_of(values, volume)
    except InputError as error:
        return [Finding(True, str(error))]
    if inside.all() or not inside.any():
        return [
            Finding(
                True,
                f"all {inside.size:,} voxels are {'inside' if inside.all() else 'outside'} of the mask; 1 means inside, 0 outside",
            )
        ]
    return []


def _check_affinities(
    volume: Volume, paths: Sequence[str], findings: list[Finding], voxel_size: Lengths | None
) -> Checked:
    """Affinities by themselves, or against labels or raw."""
    found = list(findings)
    for test in (affinity_offsets, check_affinity_values):
        try:
            test(volume)
        except InputError as error:
            found.append(Finding(True, str(error)))
    lowest = min(float(np.nanmin(piece)) for piece in sample_pieces(volume)) if volume.dtype.kind == "f" else 0.0
    if lowest < 0:
        found.append(
            Finding(True, f"affinities go down to {lowest:g}, but must be 0 to 1; if they are logits, apply a sigmoid")
        )
    if len(paths) == 1 or volume.shape[0] < 3:
        return Checked("affinities", found)
    other, wrong = open_checked(paths[1], voxel_size or volume.voxel_size)
    found += wrong
    try:
        place = place_in(volume, other)
    except InputError as error:
        return Checked("affinities", [*found, Finding(True, str(error))])
    both = place.box.overlap(Box.whole(volume.shape))
    if not both.size:
        return Checked(
            "affinities",
            [*found, Finding(True, f"{volume.source} and {other.source} share no voxel, by their offsets")],
        )
    box = both.middle([min(size, LARGEST) for size in both.shape])
    values, beside = scaled(volume.read((slice(0, 3), *box))), other.read(box.within(place.box))
    if looks_like_ids(beside):
        ids, _ = check_ids(beside)
        return Checked(
            "affinities with labels", [*found, *_named(check_channels(values, ids, ids > 0), affinities=volume)]
        )
    grey, wrong = check_contrast(beside)
    return Checked(
        "affinities with raw",
        [*found, *_named(wrong, raw=other), *_named(check_polarity(values, grey), affinities=volume)],
    )


def _check_skeletons(paths: Sequence[str], voxel_size: Lengths | None) -> Checked:
    """Skeletons against the volume that they were traced in."""
    name = next(path for path in paths if _is_skeletons(path))
    others = [path for path in paths if path != name]
    if len(others) != 1:
        raise InputError(f"{name} holds skeletons, which are checked against the volume that they were traced in: "
                         f"clew check VOLUME,{shlex.quote(name)}")  # fmt: skip
    volume, findings = open_checked(others[0], voxel_size)
    nodes = read_nml(name, say) if is_nml(name) else read_swc(name, (1.0, 1.0, 1.0))
    unit = not is_nml(name)
    if volume.ndim != 3 or not looks_like_ids(volume.read(_middle(volume, SAMPLE))):
        return Checked("skeletons in a volume", findings + _check_inside(volume, nodes, unit=unit))
    small = prod(volume.shape) <= READ_WHOLE
    labels = read_ids(volume) if small else volume
    traces = check_traces(labels, nodes, volume.voxel_size, volume.offset, unit=unit, moved=small)
    traces = _named(traces, labels=volume) or _check_inside(volume, nodes, unit=unit)
    return Checked("skeletons in labels", findings + traces)


def _check_inside(volume: Volume, nodes: Skeletons, *, unit: bool) -> list[Finding]:
    """Whether the nodes of skeletons lie inside a volume."""
    places = {"as they are": nodes.positions, "with x and z exchanged": nodes.positions[:, ::-1]}
    if unit:
        places |= {"in µm": nodes.positions * 1e3, "in voxels": nodes.positions * volume.voxel_size}
    inside = {how: _inside(each, volume) for how, each in places.items()}
    here, best = inside["as they are"], max(inside, key=lambda how: inside[how])
    if here < OUTSIDE:
        hint = f"; {best}, {inside[best]:.0%} would lie inside" if inside[best] > max(here, OUTSIDE) else ""
        option = {"in µm": " (--unit um)", "in voxels": " (--unit voxels)"}.get(best, "")
        outside = f"{1 - here:.0%} of {len(nodes.positions):,} nodes lie outside of {volume.source}"
        text = f"{outside}{hint}{option}; check size and offset"
        return [Finding(True, text, f"clew info {shlex.quote(volume.source)}")]
    if here < 1:
        return [Finding(False, f"{1 - here:.0%} of {len(nodes.positions):,} nodes lie outside of {volume.source}")]
    return []


def _inside(positions: NDArray[np.float64], volume: Volume) -> float:
    """Share of the nodes that lie inside a volume."""
    voxels = np.rint((positions - volume.offset) / volume.voxel_size)
    return float(((voxels >= 0) & (voxels < volume.shape[-3:])).all(axis=1).mean())


def _is_skeletons(path: str) -> bool:
    return is_nml(path) or Path(path).suffix.lower() == ".swc" or (Path(path).is_dir() and bool(swc_files(path)))


def _is_mask(values: NDArray[Any]) -> bool:
    """Whether values are 0 outside and one number inside."""
    if values.dtype == bool:
        return True
    found = np.unique(values[~np.isnan(values)]) if values.dtype.kind == "f" else np.unique(values)
    return len(found) <= 2 and set(found.tolist()) <= {-1, 0, 1, 255} and len(found) + (values.dtype.kind == "f") > 1


def _middle(volume: Volume, largest: int = LARGEST) -> Box:
    return Box.whole(volume.shape).middle([min(size, largest) for size in triple(volume.shape[-3:])])


def _kind(kind: str, box: Box, volume: Volume) -> str:
    return kind if box == Box.whole(volume.shape) else f"{kind}; looked at its middle, {box}"


def _named(findings: Sequence[Finding], **volumes: Volume) -> list[Finding]:
    return told(findings, volumes)


def _repeated_ids(found: Mapping[str, Labels]) -> Iterator[str]:
    """Ids that several volumes use."""
    for (one, ids), (other, others) in combinations(found.items(), 2):
        both = np.intersect1d(ids, others)
        if both.size:
            share = both.size / min(ids.size, others.size)
            yield (
                f"{both.size:,} ids ({share:.0%}) occur both in {one} and in {other}: right if each is one neuron that goes on "
                "there; else number one of them anew before they are joined"
            )
