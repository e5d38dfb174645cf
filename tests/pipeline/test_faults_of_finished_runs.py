"""What a finished run left and somebody lost or damaged: `status` says it, `retry` makes it again, and nothing else."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from clew import pipeline
from clew.blockwise.ledger import Ledger
from clew.errors import InputError
from clew.volumes.open import open_volume
from clew.volumes.save import save_volume
from pipeline.block_runs import OPTIONS, assert_same, cut_off, flip, work_in_threads

pytestmark = [pytest.mark.compiled, pytest.mark.usefixtures("threads")]


@pytest.fixture(scope="module")
def finished(affinities: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, to be copied."""
    with pytest.MonkeyPatch.context() as patch:
        work_in_threads(patch)
        folder = tmp_path_factory.mktemp("finished") / "blocks"
        pipeline.segment_blocks(str(affinities), str(folder), **OPTIONS)
    return folder


@pytest.fixture
def blocks(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / "blocks")
    return tmp_path / "blocks"


def said_by(capsys: pytest.CaptureFixture[str], command: Callable[[str], None], folder: Path) -> str:
    capsys.readouterr()
    command(str(folder))
    return capsys.readouterr().out


def contents(folder: Path) -> dict[str, bytes]:
    """All that lasts: volumes to their last bit, and scores of the merge tree."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*.zarr/**/*") if file.is_file()}


def empty(file: Path) -> None:
    file.write_bytes(b"")


def garbage(file: Path) -> None:
    file.write_text('{"zarr_format": 3,')


def other_shape(file: Path) -> None:
    document = json.loads(file.read_text())
    document["shape"][0] += 1
    file.write_text(json.dumps(document))


def other_words(file: Path) -> None:
    file.write_text(file.read_text().replace("segment-blocks", "segment-blokcs"))


CHUNKS = {
    "a chunk of the segmentation lost": ("segmentation.zarr/s0/c/1/2/1", Path.unlink, 1, True),
    "a chunk of the segmentation cut off": ("segmentation.zarr/s0/c/1/2/1", cut_off, 1, False),
    "a chunk of the segmentation of no bytes": ("segmentation.zarr/s0/c/0/0/0", empty, 1, False),
    "a flipped bit in the fragments": ("fragments.zarr/s0/c/0/1/1", flip, 1, False),
    "a chunk of the fragments lost": ("fragments.zarr/s0/c/0/1/1", Path.unlink, 1, True),
    "a table damaged": ("tables/tree/all.npz", flip, 1, False),
    "a table lost": ("tables/contacts/0-0-0.npz", Path.unlink, 1, False),
    "pieces that nobody needs": ("pieces.zarr", shutil.rmtree, 0, False),
    "a flipped bit in pieces that nobody needs": ("pieces.zarr/s0/c/0/1/1", flip, 0, False),
    "metadata of the array lost": ("segmentation.zarr/s0/zarr.json", Path.unlink, 0, True),
    "metadata of the array damaged": ("segmentation.zarr/s0/zarr.json", garbage, 0, True),
    "metadata of the array of another shape": ("fragments.zarr/s0/zarr.json", other_shape, 0, False),
    "metadata of the volume lost": ("segmentation.zarr/zarr.json", Path.unlink, 0, True),
    "metadata of the volume damaged": ("segmentation.zarr/zarr.json", garbage, 0, True),
    "metadata of the volume changed": ("segmentation.zarr/zarr.json", other_words, 0, False),
    "the merge tree lost": ("merge_tree.h5", Path.unlink, 0, False),
}


@pytest.mark.parametrize("damage", CHUNKS)
def test_what_was_damaged_after_the_end_is_made_again(
    blocks: Path, expected: Path, capsys: pytest.CaptureFixture[str], damage: str
):
    name, apply, again, visible = CHUNKS[damage]
    before, done = contents(blocks), Ledger(blocks).done()
    assert said_by(capsys, pipeline.status, blocks).endswith("\nfinished\n")
    apply(blocks / name)
    said = said_by(capsys, pipeline.status, blocks)
    assert visible == (f"damaged since it was finished: clew retry {blocks}" in said), said
    said = said_by(capsys, pipeline.retry, blocks)
    assert f"{len(done) - again} finished tasks were checked" in said
    assert (f"{again} tasks on" in said) == bool(again)
    lasting = (path for path in before if not path.startswith("pieces"))
    after = contents(blocks)
    assert all(after[path] == before[path] for path in lasting)
    assert Ledger(blocks).done() == done
    assert said_by(capsys, pipeline.status, blocks).endswith("\nfinished\n")
    assert_same(blocks, expected)


def test_fragments_are_made_again_after_pieces_were_deleted(
    blocks: Path, expected: Path, capsys: pytest.CaptureFixture[str]
):
    shutil.rmtree(blocks / "pieces.zarr")
    (blocks / "fragments.zarr/s0/c/0/1/1").unlink()
    assert "2 tasks on" in said_by(capsys, pipeline.retry, blocks)
    assert_same(blocks, expected)


def test_all_volumes_are_made_again_where_all_are_gone(blocks: Path, expected: Path):
    for volume in blocks.glob("*.zarr"):
        shutil.rmtree(volume)
    before = Ledger(blocks).finished()
    pipeline.retry(str(blocks))
    assert Ledger(blocks).finished() == before
    assert_same(blocks, expected)


def test_a_coarser_scale_is_made_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    values = np.random.default_rng(0).integers(0, 9, (20, 30, 150), np.uint8)
    save_volume(tmp_path / "raw.zarr", values, voxel_size=(8, 8, 8))
    folder = tmp_path / "run"
    pipeline.convert_blocks(str(tmp_path / "raw.zarr"), str(folder), block_shape=(16, 32, 64))
    before = contents(folder)
    flip(folder / "volume.zarr/s1/c/0/0/0")
    assert "1 tasks on" in said_by(capsys, pipeline.retry, folder)
    assert contents(folder) == before


def test_reading_a_missing_chunk_says_what_to_type(blocks: Path, capsys: pytest.CaptureFixture[str]):
    document = json.loads((blocks / "fragments.zarr/zarr.json").read_text())
    run = Path(document["attributes"]["clew"]["parameters"]["folder"])
    assert run.is_absolute()
    (blocks / "fragments.zarr/s0/c/0/1/1").unlink()
    with pytest.raises(InputError, match=f"is missing; clew retry {run} makes it again$"):
        open_volume(blocks / "fragments.zarr").read()


def test_a_damaged_table_of_the_run_before_names_that_run(blocks: Path, tmp_path: Path):
    (blocks / "tables/contacts/0-0-0.npz").unlink()
    with pytest.raises(RuntimeError, match=f"clew retry {blocks} makes it again"):
        pipeline.relabel_blocks(str(blocks), str(tmp_path / "other"), threshold=0.7, minimum_size=50)


def test_a_retry_from_another_folder_finds_all(
    affinities: Path, expected: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for place in ("here", "elsewhere"):
        (tmp_path / place).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    pipeline.segment_blocks(str(affinities), "blocks", volumes="volumes", **OPTIONS)
    pipeline.relabel_blocks("blocks", "other", volumes="more", threshold=0.7)
    before = contents(Path("."))
    flip(Path("volumes/segmentation.zarr/s0/c/1/2/1"))
    flip(Path("more/segmentation.zarr/s0/c/1/2/1"))
    monkeypatch.chdir(tmp_path / "elsewhere")
    for name in ("blocks", "other"):
        pipeline.retry(f"../here/{name}")
    assert list(Path(".").iterdir()) == []
    assert contents(Path("../here")) == before


def test_a_killed_retry_is_continued_by_the_next(blocks: Path, expected: Path, capsys: pytest.CaptureFixture[str]):
    tasks = len(Ledger(blocks).done())
    flip(blocks / "segmentation.zarr/s0/c/1/2/1")
    Ledger(blocks).doubt()
    said_by(capsys, pipeline.status, blocks)
    (blocks / "done/tree").mkdir(parents=True, exist_ok=True)
    (blocks / "doubted/tree/all").rename(blocks / "done/tree/all")
    said = said_by(capsys, pipeline.retry, blocks)
    assert f"{tasks - 1} finished tasks were checked" in said
    assert_same(blocks, expected)
