"""Affinities of other programs: understood, or refused with a command that brings them to ours."""

import json
import re
import shlex

import h5py
import numpy as np
import pytest

from clew import open_volume, pipeline
from clew.cli import main
from clew.errors import InputError
from clew.volumes.affinities import POLARITY, affinity_offsets, check_affinity_values

NEAR, FAR = [(-1, 0, 0), (0, -1, 0), (0, 0, -1)], [(-4, 0, 0), (0, -4, 0), (0, 0, -4)]
BYTES = (np.random.default_rng(0).random((3, 8, 9, 10)) < 0.8).astype(np.uint8) * 255
FORMS = {
    "uint8 of 0 and 1": BYTES // 255, "bool": BYTES > 0, "percent": BYTES / np.float32(2.55), "uint16": BYTES * np.uint16(257),
    "floats to 255": BYTES.astype(np.float32), "int8": (BYTES // 2).astype(np.int8),
    "int64 of 0 and 1": BYTES.astype(np.int64) // 255,
}  # fmt: skip


def write(folder, data, **attributes):
    with h5py.File(folder / "a.h5", "w") as file:
        file["a"] = data
        file["a"].attrs["resolution"] = (8.0, 8.0, 8.0)
        for name, value in attributes.items():
            file["a"].attrs[name] = value
    return f"{folder}/a.h5:a"


@pytest.mark.parametrize("form", FORMS)
def test_other_ranges_are_refused_and_the_advice_mends_them(tmp_path, form):
    path = write(tmp_path, FORMS[form], offsets=json.dumps(NEAR))
    with pytest.raises(InputError) as caught:
        pipeline.extract_fragments(path, str(tmp_path / "f.zarr"))
    command = re.search(r"clew (convert .*)", str(caught.value))[1].replace("OUT.zarr", str(tmp_path / "OUT.zarr"))
    main(shlex.split(command))
    mended = open_volume(tmp_path / "OUT.zarr")
    np.testing.assert_array_equal(mended.read(), BYTES)
    assert affinity_offsets(mended) == tuple(NEAR)
    pipeline.extract_fragments(str(tmp_path / "OUT.zarr"), str(tmp_path / "f.zarr"))


@pytest.mark.parametrize("data", [BYTES, (BYTES / 255).astype(np.float16), BYTES / 255, BYTES * 0])
def test_our_ranges_are_taken_as_they_are(tmp_path, data):
    check_affinity_values(open_volume(write(tmp_path, data)))


def test_what_says_its_polarity_is_taken_as_it_is(tmp_path):
    check_affinity_values(open_volume(write(tmp_path, 255 - BYTES, polarity=POLARITY)))


@pytest.mark.parametrize("data", [255 - BYTES, 1 - BYTES / np.float32(255)])
def test_what_looks_inverted_is_refused_and_the_advice_turns_it(tmp_path, data):
    with pytest.raises(InputError) as refused:
        check_affinity_values(open_volume(write(tmp_path, data)))
    command = re.search(r"clew (convert [^;]*)", str(refused.value))[1].replace("OUT.zarr", str(tmp_path / "OUT.zarr"))
    main(shlex.split(command))
    np.testing.assert_array_equal(open_volume(tmp_path / "OUT.zarr").read(), BYTES)


def test_nan_is_refused_and_the_advice_fills_it(tmp_path):
    data = BYTES / np.float32(255)
    data[:, 1] = np.nan
    with pytest.raises(InputError, match="are NaN or infinite") as refused:
        check_affinity_values(open_volume(write(tmp_path, data)))
    command = re.search(r"clew (convert .*)", str(refused.value))[1].replace("OUT.zarr", str(tmp_path / "OUT.zarr"))
    main(shlex.split(command))
    np.testing.assert_array_equal(open_volume(tmp_path / "OUT.zarr").read(), np.where(np.isnan(data), 0, BYTES))


@pytest.mark.parametrize(("values", "wanted"), [("1,0", 255), ("0,1", 0)])
def test_what_is_mostly_low_is_asked_for(tmp_path, values, wanted):
    path = write(tmp_path, np.zeros((3, 4, 5, 6), np.float32) + (np.arange(6) == 0))
    with pytest.raises(InputError, match="only 17% of the affinities are above a half") as refused:
        check_affinity_values(open_volume(path))
    assert f"--range {values}" in str(refused.value)
    main(["convert", str(path), str(tmp_path / "OUT.zarr"), "--dtype", "uint8", "--range", values])
    check_affinity_values(open_volume(tmp_path / "OUT.zarr"))
    assert (open_volume(tmp_path / "OUT.zarr").read()[..., 1:] == wanted).all()


@pytest.mark.parametrize("name", ["offsets", "neighborhood", "nhood", "affs_nhood"])
@pytest.mark.parametrize("form", [json.dumps, np.array, np.ravel, lambda offsets: np.array(offsets, np.float64)])
def test_offsets_are_understood_as_numbers_and_as_text(tmp_path, name, form):
    path = write(tmp_path, np.concatenate([BYTES, BYTES]), **{name: form(NEAR + FAR)})
    assert affinity_offsets(open_volume(path)) == tuple(NEAR + FAR)


@pytest.mark.parametrize("offsets", ["oops", [1.0, 2.0], "[[1, 2]]"])
def test_offsets_that_are_not_understood_are_not_guessed(tmp_path, offsets):
    with pytest.raises(InputError, match=r"attribute offsets must be offsets \(z, y, x\)"):
        affinity_offsets(open_volume(write(tmp_path, BYTES, offsets=offsets)))


def test_a_foreign_polarity_is_not_overlooked(tmp_path):
    with pytest.raises(InputError, match="polarity"):
        affinity_offsets(open_volume(write(tmp_path, BYTES, polarity="high means boundary")))
