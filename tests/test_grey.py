"""Grey values: one range for a whole volume and each part of it; ids are never scaled."""

import numpy as np
import pytest

from clew import open_volume, pipeline, save_volume
from clew.errors import InputError
from clew.grey import PIECES, SECTIONS, Scaling, grey_range, percentiles, sample_pieces

RNG = np.random.default_rng(28)
RAW = RNG.normal(30000, 1500, (24, 32, 32)).astype(np.uint16)
RAW[:, ::9] -= 6000
RAW[20, 5, 5], RAW[21, 5, 5] = 65535, 0
IDS = np.kron(np.arange(1, 65).reshape(4, 4, 4), np.ones((6, 8, 8)))
IMAGES = {
    "uint16": RAW, "int16": (RAW.astype(np.int32) - 32768).astype(np.int16), "int8": (RAW // 256 - 128).astype(np.int8),
    "float32": RAW / np.float32(7), "int32": RAW.astype(np.int32), "padded": np.pad(RAW, 20),
}  # fmt: skip


def of_type(path, data):
    save_volume(path, data, voxel_size=(8, 8, 8), offset=(0, 0, 0))
    return str(path)


@pytest.mark.parametrize("name", IMAGES)
def test_a_part_and_blocks_are_as_grey_as_the_whole(tmp_path, name):
    data = IMAGES[name]
    source = of_type(tmp_path / "raw.zarr", data)
    pipeline.convert(source, str(tmp_path / "whole.zarr"), dtype="uint8")
    pipeline.convert(source, str(tmp_path / "part.zarr"), dtype="uint8", box="3:20,:,5:9")
    pipeline.convert_blocks(source, str(tmp_path / "blocks"), dtype="uint8", block_shape=(16, 16, 16), workers=1)
    whole = open_volume(tmp_path / "whole.zarr")
    np.testing.assert_array_equal(open_volume(tmp_path / "part.zarr").read(), whole[3:20, :, 5:9])
    np.testing.assert_array_equal(open_volume(tmp_path / "blocks" / "volume.zarr").read(), whole.read())
    low, high = np.percentile(data, [0.1, 99.9])
    assert whole.attributes["grey_range"] == pytest.approx([low, high])
    wanted = np.rint((data.astype(np.float64) - low) * 255 / (high - low)).clip(0, 255)
    assert np.abs(wanted - whole.read()).max() <= 1
    middle = whole.read()[20:44, 20:52, 20:52] if name == "padded" else whole.read()
    assert np.median(middle) - np.median(middle[:, ::9]) > 30, "a hot pixel must not take the contrast"


def test_a_given_range_is_that_of_the_output(tmp_path):
    source = of_type(tmp_path / "raw.zarr", RAW)
    pipeline.convert(source, str(tmp_path / "a.zarr"), dtype="uint8", range=(20000, 40000))
    wanted = np.rint((RAW.astype(np.float32) - 20000) * np.float32(255 / 20000)).clip(0, 255)
    np.testing.assert_array_equal(open_volume(tmp_path / "a.zarr").read(), wanted)
    for options, words in (
        ({"range": (1, 2)}, "--dtype uint8"),
        ({"range": (2, 2), "dtype": "uint8"}, "two values"),
    ):
        with pytest.raises(InputError, match=words):
            pipeline.convert(source, str(tmp_path / "b.zarr"), **options)


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32, np.uint64, np.int32, np.float32, np.float64])
def test_ids_are_never_scaled(dtype):
    with pytest.raises(InputError, match=r"looks like labels.*--range LOW,HIGH"):
        grey_range(IDS.astype(dtype), "ids")
    sparse = np.where(IDS % 9 == 0, IDS, 0).astype(dtype)
    with pytest.raises(InputError, match="looks like labels"):
        grey_range(sparse, "ids")


def test_nan_is_refused_or_filled(tmp_path, capsys):
    data = RAW.astype(np.float32)
    data[:, :4] = np.nan
    source = of_type(tmp_path / "raw.zarr", data)
    with pytest.raises(InputError, match=r"3,072 NaN or infinite values.*--fill 0"):
        pipeline.convert(source, str(tmp_path / "a.zarr"), dtype="uint8")
    with pytest.raises(InputError, match="NaN or infinite values"):
        pipeline.convert_blocks(source, str(tmp_path / "c"), dtype="uint8", workers=1)
    for fill in (np.nan, np.inf, 1e300):
        with pytest.raises(InputError, match="--fill must be a number"):
            pipeline.convert(source, str(tmp_path / "a.zarr"), fill=fill)
    pipeline.info(source)
    assert "12.5% of all 24,576 values are NaN" in capsys.readouterr().out
    pipeline.convert(source, str(tmp_path / "a.zarr"), dtype="uint8", fill=0)
    pipeline.convert(source, str(tmp_path / "b.zarr"), fill=7)
    assert not open_volume(tmp_path / "a.zarr")[:, :4].any()
    np.testing.assert_array_equal(open_volume(tmp_path / "b.zarr").read(), np.where(np.isnan(data), 7, data))
    pipeline.convert_blocks(source, str(tmp_path / "c"), dtype="uint8", fill=0, block_shape=(16, 16, 16), workers=1)
    np.testing.assert_array_equal(
        open_volume(tmp_path / "c/volume.zarr").read(), open_volume(tmp_path / "a.zarr").read()
    )


class Lazy:
    """A volume of any size that says what is read of it."""

    def __init__(self, shape, chunks):
        self.shape, self.chunks, self.dtype, self.read = shape, chunks, np.dtype(np.uint16), 0

    def __getitem__(self, selection):
        shape = [len(range(*part.indices(size))) for part, size in zip(selection, self.shape, strict=True)]
        self.read += int(np.prod(shape))
        return np.zeros(shape, np.uint16)


@pytest.mark.parametrize("chunks", [None, (64, 64, 64)])
@pytest.mark.parametrize("shape", [(100_000, 90, 5000), (3, 10_000, 9_000), (2000, 2000, 2000)])
def test_a_sample_of_a_huge_volume_is_bounded(shape, chunks):
    data = Lazy(shape, chunks)
    size = sum(piece.size for piece in sample_pieces(data))
    assert size <= SECTIONS * PIECES**2 * 64**2
    assert data.read == (size if chunks else min(SECTIONS, shape[0]) * shape[1] * shape[2])


def test_only_finite_values_count():
    assert percentiles([np.array([np.nan, 1, np.inf, 3])], 0, 100) == (1, 3)
    assert percentiles([np.array([np.nan])], 0, 100) is None
    with pytest.raises(InputError, match="only NaN"):
        grey_range(np.full((2, 2, 2), np.nan), "raw")
    with pytest.raises(InputError, match="nearly everywhere the value 7"):
        grey_range(np.full((2, 2, 2), 7, np.uint16), "raw")
    assert Scaling(None, None, "raw")(RAW) is RAW
