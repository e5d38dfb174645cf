"""Errors put into sound labels are found and named; sound labels have none."""

import numpy as np
import pytest

from clew.planning.annotation import (
    Finding,
    check_holes,
    check_ids,
    check_mask,
    check_pairs,
    check_pieces,
    check_sections,
    check_sizes,
    find_components,
    label_statistics,
    ranges,
)
from clew.planning.contrast import check_contrast
from clew.planning.registration import check_axes, check_registration, estimate_shift
from clew.synthetic.volume import SyntheticVolume, synthesize

SHAPE = (48, 72, 72)


@pytest.fixture(scope="module")
def sound() -> SyntheticVolume:
    return synthesize(SHAPE, seed=3)


def everywhere() -> np.ndarray:
    return np.ones(SHAPE, bool)


def blocks() -> np.ndarray:
    """Two blocks with background between them and around."""
    labels = np.zeros((20, 20, 20), np.uint64)
    labels[2:18, 2:9, 2:18] = 7
    labels[2:18, 11:18, 2:18] = 9
    return labels


def check_labels(labels: np.ndarray, mask: np.ndarray | None = None) -> list[Finding]:
    mask = np.ones(labels.shape, bool) if mask is None else mask
    found = find_components(labels, mask)
    return [*check_mask(labels, mask), *check_sizes(found), *check_pieces(found), *check_holes(labels, mask),
            *check_sections(labels, mask)]  # fmt: skip


def test_sound_volume_has_no_serious_finding(sound: SyntheticVolume):
    raw, findings = check_contrast(sound.raw)
    assert raw is sound.raw
    findings += check_ids(sound.labels)[1] + check_labels(sound.labels)
    findings += check_registration(sound.raw, sound.labels, everywhere())
    statistics = label_statistics(sound.labels, everywhere(), find_components(sound.labels, everywhere()))
    findings += check_axes(statistics, sound.voxel_size)
    assert not [finding for finding in findings if finding.serious]


@pytest.mark.parametrize(
    ("labels", "message", "serious"),
    [
        (
            np.array([[[3, -1]]], np.int32),
            r"1 voxels have negative ids \(smallest -1, first at voxel \(0, 0, 1\)\)",
            True,
        ),
        (np.array([[[3, 2**64 - 1]]], np.uint64), "beyond 63 bits", True),
        (np.array([[[3, 2**32 + 1]]], np.uint64), "beyond 32 bits", False),
        (np.array([[[3, 255]]], np.uint8), "the largest of uint8", True),
        (np.array([[[3, 65535]]], np.uint16), "the largest of uint16", True),
        (np.array([[[3, 2.5]]], np.float32), "resampled by interpolation", True),
        (np.array([[[3, 2.0**25]]], np.float32), "from 16777216 on ids run together", True),
        (np.array([[[3, np.nan]]], np.float64), "fractions or NaN", True),
    ],
)
def test_impossible_ids_are_found(labels: np.ndarray, message: str, serious: bool):
    ids, findings = check_ids(labels)
    assert ids.dtype == np.uint64
    assert ids[0, 0, 0] == 3
    assert [finding.serious for finding in findings] == [serious]
    match_one(findings, message)


def match_one(findings: list[Finding], message: str) -> Finding:
    import re

    matching = [finding for finding in findings if re.search(message, finding.text)]
    assert len(matching) == 1, f"{message!r} not once in {findings}"
    assert "\n" not in matching[0].text
    return matching[0]


def test_proper_ids_are_kept():
    labels = np.array([[[0, 5, 2**32 - 1]]], np.uint64)
    ids, findings = check_ids(labels)
    assert (ids == labels).all()
    assert not findings


def test_pieces_are_listed_with_sizes_and_places():
    labels = blocks()
    labels[5:8, 4:7, 8] = 9
    finding = match_one(check_labels(labels), r"1 object in pieces: 1 piece .*id 9: 9 voxels at \(7, 6, 8\)")
    assert not finding.serious
    labels[5:9, 3:7, 4:14] = 9
    assert match_one(check_labels(labels), "id 9: 160 voxels").serious


def test_pieces_that_leave_the_volume_may_meet_outside():
    labels = np.ones((8, 8, 8), np.uint64)
    labels[:, 3:5] = 2
    assert not check_labels(labels)
    mask = np.ones(labels.shape, bool)
    inner = np.full((10, 10, 10), 2, np.uint64)
    inner[1:9, 1:9, 1:9] = labels
    inner[1:9, 1:9, 1:9][:, 3:5] = 3
    annotated = np.zeros(inner.shape, bool)
    annotated[1:9, 1:9, 1:9] = mask
    assert not check_pieces(find_components(inner, annotated))


def test_ids_used_for_many_objects_are_named():
    labels = np.arange(1, 65, dtype=np.uint64).repeat(64).reshape(64, 8, 8) % 4 + 1
    assert match_one(check_labels(labels), "more than 8 large pieces .*overflow").serious


def test_holes_and_gaps():
    labels = blocks()
    labels[4:6, 4:6, 4:6] = 0
    finding = match_one(
        check_labels(labels), r"1 unlabelled hole inside objects \(8 voxels; the largest 8 voxels at .*id 7"
    )
    assert not finding.serious
    assert match_one(check_labels(np.where(labels == 9, 7, labels)), "hole inside objects")
    dense = np.ones((12, 16, 16), np.uint64)
    dense[:, 8:] = 2
    dense[4:7, 5:10, 5:10] = 0
    assert match_one(check_labels(dense), "1 unlabelled hole between objects").serious
    dense[4:7, 5:8, 5:10], dense[4:7, 8:10, 5:10] = 1, 2
    dense[4:8, 8, 5:10] = 0
    assert not check_labels(dense), "a membrane of one voxel is no gap"


def test_masked_holes_are_none():
    labels = blocks()
    labels[4:6, 4:6, 4:6] = 0
    mask = labels > 0
    assert not check_labels(labels, mask)


def test_mask_errors():
    labels = blocks()
    assert match_one(check_labels(labels, np.zeros(labels.shape, bool)), "excludes every voxel").serious
    assert match_one(check_mask(labels, labels == 0), "is the mask inverted").serious
    mostly = labels == 0
    mostly[2:4] = True
    assert match_one(check_mask(labels, mostly), "more labels lie outside the mask").serious


def test_sections_without_annotation():
    labels = np.ones((20, 8, 8), np.uint64)
    labels[:, 4:] = 2
    labels[[3, 7, 8]] = 0
    labels[5, :, 1:] = 0
    findings = check_sections(labels, np.ones(labels.shape, bool))
    assert match_one(findings, "no label at z 3, 7–8, which count as annotated").serious
    assert not match_one(findings, "less than half of the usual labels in sections z 5;").serious
    mask = np.ones(labels.shape, bool)
    mask[[3, 5, 7, 8]] = False
    assert not check_sections(labels, mask)


def test_small_objects_and_single_ones():
    labels = blocks()
    labels[5, 5, 5:8] = 4
    assert match_one(check_labels(labels), r"1 object of fewer than 50 voxels \(id 4: 3 voxels at \(5, 5, 7\)\)")
    assert match_one(check_sizes(find_components(labels // 100 + 1, labels < 100)), "only one object").serious


def test_statistics():
    labels = blocks()
    mask = np.ones(labels.shape, bool)
    mask[10:] = False
    statistics = label_statistics(labels, mask, find_components(labels, mask))
    assert statistics.annotated == 10 * 400
    assert statistics.labelled == 2 * 8 * 7 * 16
    assert (statistics.objects, statistics.largest_size) == (2, 8 * 7 * 16)
    assert statistics.box == ((0, 10), (0, 20), (0, 20))
    assert statistics.touching == 0
    assert label_statistics(labels + 1, mask, find_components(labels + 1, mask)).touching == 1


@pytest.mark.parametrize("shift", [(0, 0, 4), (3, -5, 0), (-4, 0, 2)])
def test_shifted_labels_are_found(sound: SyntheticVolume, shift: tuple[int, int, int]):
    moved = np.roll(sound.labels, shift, (0, 1, 2))
    found = estimate_shift(sound.raw, moved, everywhere())
    assert found is not None
    assert found.shift == shift
    finding = match_one(check_registration(sound.raw, moved, everywhere()), "look shifted by")
    assert finding.serious
    assert str(shift) in finding.text


def test_shifts_by_one_thick_section_are_found_but_not_by_one_voxel(sound: SyntheticVolume):
    found = estimate_shift(sound.raw, np.roll(sound.labels, 1, 2), everywhere())
    assert found is not None
    assert found.shift == (0, 0, 1)
    assert not found.clear
    thick = np.s_[::4]
    moved = np.roll(sound.labels[thick], 1, 0)
    found = estimate_shift(np.ascontiguousarray(sound.raw[thick]), moved, everywhere()[thick])
    assert found is not None
    assert found.shift == (1, 0, 0)
    assert found.clear


def test_no_shift_is_found_in_unrelated_volumes(sound: SyntheticVolume):
    noise = np.random.default_rng(0).integers(0, 256, SHAPE, dtype=np.uint8)
    findings = check_registration(noise, sound.labels, everywhere())
    assert not [finding for finding in findings if finding.serious]
    assert match_one(findings, "do not follow dark lines")


def test_turned_labels_and_inverted_raw_are_found(sound: SyntheticVolume):
    flipped = np.ascontiguousarray(sound.labels[:, ::-1])
    assert match_one(check_registration(sound.raw, flipped, everywhere()), "flipped along y").serious
    turned = np.ascontiguousarray(sound.labels.transpose(0, 2, 1))
    assert match_one(check_registration(sound.raw, turned, everywhere()), r"transposed to \(z, x, y\)").serious
    assert match_one(check_registration(255 - sound.raw, sound.labels, everywhere()), "raw looks inverted")


def test_swapped_voxel_size_is_found():
    flat = synthesize((24, 96, 96), voxel_size=(40, 8, 8), seed=1)
    mask = np.ones(flat.labels.shape, bool)
    statistics = label_statistics(flat.labels, mask, find_components(flat.labels, mask))
    assert not check_axes(statistics, (40, 8, 8))
    assert match_one(check_axes(statistics, (8, 8, 40)), r"looks swapped: .* fit \(40, 8, 8\)").serious


def test_contrast(sound: SyntheticVolume):
    raw = sound.raw.copy()
    raw[[3, 4]] = 0
    raw[9] = raw[9] // 4 + 90
    raw[20] = raw[19]
    _, findings = check_contrast(raw)
    match_one(findings, "without an image: z 3–4;")
    match_one(findings, "half the usual contrast: z 9;")
    match_one(findings, "equal to the one before: z 20;")
    match_one(check_contrast(sound.raw // 16 * 16)[1], "grey levels")
    match_one(check_contrast(sound.raw // 8 + 100)[1], "low contrast")
    match_one(check_contrast(np.where(sound.raw < 90, 0, sound.raw).astype(np.uint8))[1], "are black")
    assert match_one(check_contrast(sound.raw.astype(np.uint16) * 200)[1], "raw is uint16").serious
    assert match_one(check_contrast(np.full(SHAPE, 8, np.uint8))[1], "empty volume").serious


def test_ranges():
    assert ranges([3, 4, 5, 9]) == "3–5, 9"
    assert ranges(range(0, 40, 2)).endswith("14 and 12 more")


@pytest.mark.parametrize(("thick", "axis", "name"), [(1, 0, "z"), (1, 2, "x"), (2, 0, "")])
def test_single_sections_do_not_train_the_axis_across(thick, axis, name):
    mask = np.zeros((20, 16, 16), bool)
    for first in range(4, 20, 5):
        mask[first : first + thick] = True
    found = check_pairs(mask.swapaxes(0, axis))
    assert [finding.serious for finding in found] == [True] * len(name)
    number = np.count_nonzero(mask[:, 1:] & mask[:, :-1])
    for finding in found:
        assert finding.text.startswith(
            f"0 pairs of neighbouring annotated voxels along {name} ({number:,} along another"
        )
        assert f"affinities along {name} are never trained" in finding.text


def test_few_pairs_of_sections_are_said():
    mask = np.zeros((40, 16, 16), bool)
    mask[::2], mask[1] = True, True
    (found,) = check_pairs(mask)
    assert not found.serious
    assert found.text.startswith("512 pairs")
