"""Skeletons in SWC, and NML in zip files."""

import zipfile

import numpy as np
import pytest

import clew
from clew import pipeline
from clew.errors import InputError
from clew.volumes.formats.nml import read_nml
from clew.volumes.formats.swc import read_swc

NEURON = "# made by hand\n7 1 10 20 30 1 -1\n8 0 11 20 30 1 7\n 9 0 11.5 20 31 1 8\n3 0 11 22 30 1 8\n"
NML = (
    '<things><parameters><scale x="4" y="4" z="40"/></parameters><thing id="5">'
    '<nodes><node id="1" x="1" y="2" z="3"/></nodes></thing></things>'
)


def test_nodes_edges_and_ids(tmp_path):
    for name in ("12", "3"):
        (tmp_path / f"{name}.swc").write_text(NEURON)
    one = read_swc(str(tmp_path / "3.swc"), (40, 4, 4))
    np.testing.assert_array_equal(one.positions[:3], [(1200, 80, 40), (1200, 80, 44), (1240, 80, 46)])
    assert sorted(map(sorted, one.edges.tolist())) == [[0, 1], [1, 2], [1, 3]]
    both = read_swc(str(tmp_path), (1, 1, 1))
    np.testing.assert_array_equal(both.skeletons, [3] * 4 + [12] * 4)
    assert both.edges[3:].min() == 4
    (tmp_path / "other.swc").write_text(NEURON)
    assert set(read_swc(str(tmp_path), (1, 1, 1)).skeletons.tolist()) == {1, 2, 3}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must hold lines of id type x y z radius parent"),
        ("1 0 1 1 1\n", "cannot be read as SWC"),
        ("1 0 a 1 1 1 -1\n", "cannot be read as SWC"),
        ("1 0 nan 1 1 1 -1\n", "all of them numbers"),
        ("1 0 1 1 1 1 9\n", "the parent 9 is no node"),
        ("1 0 1 1 1 1 -1\n1 0 1 1 2 1 -1\n", "two nodes have one id"),
    ],
)
@pytest.mark.filterwarnings("ignore:loadtxt")
def test_damaged_swc_is_refused(tmp_path, text, message):
    (tmp_path / "a.swc").write_text(text)
    with pytest.raises(InputError, match=rf"a\.swc.*{message}"):
        read_swc(str(tmp_path / "a.swc"), (1, 1, 1))


def test_units_are_asked_for(tmp_path):
    labels = np.ones((4, 6, 20), np.uint64)
    labels[..., 10:] = 2
    clew.save_volume(tmp_path / "s.zarr", labels, voxel_size=(40, 10, 10))
    (tmp_path / "n").mkdir()
    (tmp_path / "n/a.swc").write_text("1 0 2 3 1 1 -1\n2 0 8 3 1 1 1\n3 0 14 3 1 1 2\n")
    (tmp_path / "n/b.swc").write_text("1 0 0.02 0.03 0.04 1 -1\n2 0 0.08 0.03 0.04 1 1\n")
    given = (str(tmp_path / "s.zarr"), str(tmp_path / "n/a.swc"))
    with pytest.raises(
        InputError, match=r"a\.swc is SWC, which does not say its unit: give --unit nm, --unit um or --unit"
    ):
        pipeline.evaluate_skeletons(*given)
    (found,) = pipeline.evaluate_skeletons(*given, unit="voxels")
    assert (found.scores.splits, found.errors.length.tolist()) == (1, [120])
    (found,) = pipeline.evaluate_skeletons(given[0], str(tmp_path / "n/b.swc"), unit="um")
    assert (found.scores.splits, found.errors.length.tolist()) == (0, pytest.approx([60]))
    with pytest.raises(InputError, match="use clew evaluate-skeletons"):
        pipeline.evaluate(*given)


def trees(scale, *ids):
    """NML of trees of two nodes each."""
    nodes = '<nodes><node id="1" x="1" y="2" z="3"/><node id="2" x="3" y="2" z="3"/></nodes>'
    made = "".join(f'<thing id="{n}">{nodes}<edges><edge source="1" target="2"/></edges></thing>' for n in ids)
    return f'<things><parameters><scale x="{scale}" y="{scale}" z="{scale}"/></parameters>{made}</things>'


@pytest.mark.parametrize(("others", "ids", "said"), [
    ((1, 9), [3, 4, 1, 2, 5], "are numbered anew: t2.nml 1–2, t10.nml 3–4, u/t.nml 5"),
    ((5, 9), [5, 9, 1, 7, 2**40], "trees of 3 files, each a neuron of its own"),
])  # fmt: skip
def test_trees_of_several_files_in_a_zip_are_kept_apart(tmp_path, others, ids, said):
    files = {"t10.nml": trees(10, *others), "t2.nml": trees(4, 1, 7), "u/t.nml": trees(4, 2**40)}
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    sentences = []
    found = read_nml(str(tmp_path / "a.zip"), sentences.append)
    assert len(sentences) == 1
    assert said in sentences[0]
    t10, t2, last = ids[:2], ids[2:4], ids[4:]
    assert found.skeletons.tolist() == np.repeat([*t2, *t10, *last], 2).tolist()
    assert found.edges.tolist() == [[2 * n, 2 * n + 1] for n in range(5)]
    assert found.lengths.tolist() == [8, 8, 20, 20, 8], "each file has its own voxel size"
    with zipfile.ZipFile(tmp_path / "a.zip", "a") as archive:
        archive.writestr("bad.nml", "<things/>")
    with pytest.raises(InputError, match=r"a\.zip:bad\.nml must be an NML file"):
        read_nml(str(tmp_path / "a.zip"))


def test_zipped_nml(tmp_path):
    for names in (["a.nml", "data_Volume.zip"], ["a.nml", "__MACOSX/._a.nml"], ["data.txt"]):
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            for name in names:
                archive.writestr(name, NML if name == "a.nml" else "\0")
        if "a.nml" in names:
            np.testing.assert_array_equal(read_nml(str(tmp_path / "a.zip")).positions, [(120, 8, 4)])
            continue
        with pytest.raises(InputError, match=r"must hold an \.nml file, and holds none"):
            read_nml(str(tmp_path / "a.zip"))
    (tmp_path / "a.zip").write_bytes(b"PK\3\4")
    with pytest.raises(InputError, match=r"a\.zip cannot be read as NML"):
        read_nml(str(tmp_path / "a.zip"))
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("a.nml", NML)
    damaged = bytearray((tmp_path / "b.zip").read_bytes())
    sizes = damaged.index(b"PK\1\2") + 20
    damaged[sizes : sizes + 8] = (10_000).to_bytes(4, "little") * 2
    (tmp_path / "b.zip").write_bytes(damaged)
    with pytest.raises(InputError, match=r"b\.zip cannot be read as NML"):
        read_nml(str(tmp_path / "b.zip"))
