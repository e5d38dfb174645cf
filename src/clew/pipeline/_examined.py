"""Annotated volumes from files, with what is wrong with them.

For `clew plan` and `clew check`.
"""

import shlex
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from clew.errors import InputError
from clew.labels import special_ids
from clew.pipeline._annotated import paths_of, with_surroundings
from clew.pipeline._files import read_mask
from clew.pipeline._progress import say
from clew.planning.annotation import Finding, Labels, check_ids, check_mask
from clew.planning.contrast import check_contrast
from clew.planning.examination import Examined, examine
from clew.space import Box, Lengths
from clew.volumes.open import open_volume
from clew.volumes.place import Overlap, embed, offset_of, overlap_of
from clew.volumes.volume import Volume
from clew.volumes.warnings import volume_warnings


def examine_volume(item: str, voxel_size: Lengths | None) -> Examined:
    """Read an annotated volume and check it.

    What train would refuse is a serious finding here.
    """
    paths = paths_of(item)
    raw, findings = open_checked(paths[0], voxel_size)
    opened: list[Volume] = []
    parts: list[Overlap] = []
    for path in paths[1:]:
        volume, found = open_checked(path, raw.voxel_size)
        part, wrong = check_place(raw, volume)
        findings += found + wrong
        if part is not None:
            opened.append(volume)
            parts.append(part)
    if len(parts) < len(paths) - 1:
        return Examined(None, None, None, findings)
    volumes = {"raw": raw, "labels": opened[0], **({"mask": opened[1]} if len(opened) > 1 else {})}
    box = with_surroundings(parts[0].outer, raw)
    values, found = check_contrast(raw.read(box))
    labels, mask, wrong = read_checked_labels(opened, parts, box)
    findings += found + wrong + check_mask(labels, mask)
    if not labels[mask].any():
        return Examined(None, None, None, told(findings, volumes))
    seen = examine(item, values, labels, mask, raw.voxel_size, findings, box.low)
    return seen._replace(findings=told(seen.findings, volumes))


def read_checked_labels(
    volumes: Sequence[Volume], parts: Sequence[Overlap], box: Box
) -> tuple[Labels, NDArray[np.bool_], list[Finding]]:
    """Labels and mask in a box of raw, and what is wrong with the ids.

    They are read as training takes them.
    """
    values, place = volumes[0].read(parts[0].part), parts[0].outer
    special = special_ids(values)
    ids, wrong = check_ids(np.where(special, 0, values) if special.any() else values)
    if special.any():
        wrong.append(Finding(False, f"{special.mean():.1%} of the labels are CREMI's ids for voxels that nobody annotated "
                                    "(from 0xfffffffffffffffd, or −1 to −3); they are masked out"))  # fmt: skip
    labels, mask = embed(ids, place, box), embed(~special, place, box)
    if len(volumes) > 1:
        try:
            mask &= embed(read_mask(volumes[1], parts[1].part), parts[1].outer, box)
        except InputError as error:
            wrong.append(Finding(True, str(error)))
    return labels, mask, wrong


def check_place(raw: Volume, other: Volume) -> tuple[Overlap | None, list[Finding]]:
    """The voxels that labels or mask share with raw, and findings about it.

    There are none where train would refuse them.
    """
    try:
        both = overlap_of(raw, other)
    except InputError as error:
        return None, [Finding(True, str(error))]
    findings = [Finding(False, text) for text in both.notes]
    if both.outer != Box.whole(raw.shape):
        findings.append(Finding(False, f"{other.source} covers {both.outer} of raw by its offset; what is around it "
                                       "counts as not annotated"))  # fmt: skip
    return both, findings


def say_volume(item: str, seen: Examined) -> None:
    """Show what was understood of a volume, and what is wrong with it."""
    say(item)
    if seen.facts and seen.statistics:
        facts, numbers = seen.facts, seen.statistics
        sizes = " × ".join(f"{size:g}" for size in facts.voxel_size)
        shape = " × ".join(map(str, facts.shape))
        say(f"  volume      {shape} voxels of {sizes} nm, {numbers.annotated / 1e6:.1f} megavoxels annotated "
            f"({numbers.density:.0%} of their box)")  # fmt: skip
        say(f"  labels      {numbers.objects:,} objects, the largest {numbers.largest_size:,} voxels, the median "
            f"{numbers.median_size:,}; {1 - numbers.labelled / numbers.annotated:.0%} background")  # fmt: skip
    say_findings(seen.findings)


def say_findings(findings: Sequence[Finding]) -> None:
    """Show findings, the serious ones first."""
    for finding in sorted(findings, key=lambda finding: not finding.serious):
        say(f"  {'SERIOUS' if finding.serious else 'note':<10}  {finding.text}")
    if not findings:
        say("  nothing to complain of")


def told(findings: Sequence[Finding], volumes: Mapping[str, Volume]) -> list[Finding]:
    """Findings whose text says what to type.

    The volumes have the names that `Finding.mend` has for them.
    """
    places = {name: shlex.quote(volume.source) for name, volume in volumes.items()}
    if "affinities" in volumes:
        places["one"] = "255" if volumes["affinities"].dtype == np.uint8 else "1"
    result = []
    for finding in findings:
        mend = finding.mend
        if "{offset}" in mend:
            moved = offset_of(volumes["labels"], finding.move)
            mend = mend.replace("{offset}", ",".join(f"{value:g}" for value in moved))
        result.append(Finding(finding.serious, f"{finding.text}: {mend.format(**places)}" if mend else finding.text))
    return result


def open_checked(path: str, voxel_size: Lengths | None) -> tuple[Volume, list[Finding]]:
    """Open a volume; where it has no voxel size, with the given one, as train does."""
    try:
        volume = open_volume(path)
        return volume, _strange(volume, path)
    except InputError:
        if voxel_size is None:
            raise
    volume = open_volume(path, voxel_size=voxel_size)
    sizes = ", ".join(f"{size:g}" for size in voxel_size)
    taken = Finding(False, f"{path} does not say its voxel size: it is taken to be {sizes} nm (z, y, x)")
    return volume, [taken, *_strange(volume, path)]


def _strange(volume: Volume, path: str) -> list[Finding]:
    return [Finding(False, f"{path}: {text}") for text in volume_warnings(volume)]
