"""Changes of files at random: of their bytes, their kind, the values in their metadata."""

import contextlib
import io
import json
import os
import re
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

EXBIBYTE = 1 << 60
ODD = (
    None, True, -1, 0, 1, 7, 2.5, 1e30, 10**30, 10**400, -(1 << 63), 1 << 64, EXBIBYTE, float("nan"), float("inf"), "", "x", "10",
    "é" * 2000, "../..", "/", "\0", [], [1], [1, 2, 3], [0, 0, 0], [-1, 2, 3], [None] * 3, ["a", "b", "c"], [[1, 2], [3]],
    [EXBIBYTE] * 3, [1 << 20] * 3, [float("nan")] * 3, [float("inf")] * 3, [1e-310] * 3, [1e300] * 3, {}, {"a": 1}, {"name": {}},
    [{}], [{}] * 3, [[], [], []],
)  # fmt: skip
WORDS = ("nan", "-1", "0", "1e999", "inf", "abc", "", str(10**30), "[]", "[1, 2]", "[[1, 2], [3]]", "{a = 1}", "1979-05-27",
         "true", '""', '"x"', "1e400", "-0.0", "[" * 3000, "[nan, nan, nan]",
         "é", "\0", str(1 << 64), "[1e18, 1e18, 1e18]", "'../..'")  # fmt: skip
BYTES, KINDS, VALUES = "bytes", "kinds", "values"
"""What is changed: stored bytes, what the file is (a folder, a pipe, gone …), or values in it that may say something else."""
METADATA = (".json", ".zarray", ".zattrs", ".zgroup", "info", ".toml", ".nml", ".conf", ".csv")


def mutate(path: Path, rng: np.random.Generator) -> tuple[str, str]:
    """Change one file of an input (a file or a folder); gives what was changed, `BYTES`, `KINDS` or `VALUES`, and how."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    described = [file for file in files if file.name.endswith(METADATA)]
    file = (
        files[rng.integers(len(files))]
        if not described or rng.random() < 0.4
        else described[rng.integers(len(described))]
    )
    is_metadata = file.name.endswith(METADATA)
    special = next((change for ending, change in SPECIAL.items() if file.name.endswith(ending)), None)
    number = rng.random()
    if special is not None and number < 0.6:
        kind, words = VALUES, special(file, rng)
    elif number < 0.85 or (file == path and number < 0.9):
        kind, words = VALUES if is_metadata else BYTES, _bytes_changed(file, rng)
    else:
        kind, words = KINDS, _kind_changed(file, rng)
    return kind, f"{file.relative_to(path.parent)}: {words}"


def _bytes_changed(file: Path, rng: np.random.Generator) -> str:
    content = bytearray(file.read_bytes())
    way = rng.integers(5)
    if way == 0 or not content:
        file.write_bytes(b"")
        return "emptied"
    if way == 1:
        size = int(rng.integers(len(content)))
        file.write_bytes(content[:size])
        return f"cut off after {size} bytes"
    if way == 2:
        file.write_bytes(bytes(content) + rng.bytes(int(rng.integers(1, 100))))
        return "bytes added at the end"
    end = len(content) if way == 3 else min(len(content), 400)
    places = rng.integers(end, size=int(rng.integers(1, 4)))
    for place in places:
        content[place] ^= 1 << int(rng.integers(8))
    file.write_bytes(content)
    return f"bits flipped in bytes {', '.join(map(str, places))}"


def _kind_changed(file: Path, rng: np.random.Generator) -> str:
    ways = (
        "gone",
        "folder",
        "pipe",
        "socket",
        "dangling link",
        "link to itself",
        "endless device",
        "empty device",
        "no permission",
    )
    way = ways[rng.integers(len(ways))]
    if way == "no permission":
        file.chmod(0)
        return way
    file.unlink()
    if way == "folder":
        file.mkdir()
    elif way == "pipe":
        os.mkfifo(file)
    elif way == "socket":
        with contextlib.chdir(file.parent), socket.socket(socket.AF_UNIX) as bound:
            bound.bind(file.name)  # a name of its own: whole paths may be longer than a socket's can be
    elif way != "gone":
        targets = {"dangling link": "nowhere", "link to itself": file.name, "endless device": "/dev/zero"}
        file.symlink_to(targets.get(way, "/dev/null"))
    return way


def _json_changed(file: Path, rng: np.random.Generator) -> str:
    if rng.random() < 0.05:
        depth = int(rng.choice([900, 100_000]))
        file.write_text("[" * depth if rng.random() < 0.5 else '{"a":' * depth + "1" + "}" * depth)
        return f"{depth} deep"
    document = json.loads(file.read_text() or "0")
    places = list(_places(document))
    if not places or rng.random() < 0.02:
        document, where, value = None, "whole", ODD[rng.integers(len(ODD))]
        document = value
    else:
        parent, key = places[rng.integers(len(places))]
        where, value = repr(key), ODD[rng.integers(len(ODD))]
        if rng.random() < 0.15:
            del parent[key]
            value = "removed"
        else:
            parent[key] = value
    with _long_numbers():
        file.write_text(json.dumps(document))
        return f"{where} is {str(value)[:60]!r}"


@contextlib.contextmanager
def _long_numbers() -> Any:
    import sys

    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        yield
    finally:
        sys.set_int_max_str_digits(before)


def _places(document: Any) -> Any:
    """Each value in a document: what holds it, and its key there."""
    items = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in list(items):
        yield document, key
        yield from _places(value)


def _text_changed(file: Path, rng: np.random.Generator) -> str:
    text = file.read_text(errors="replace")
    if rng.random() < 0.2:
        lines = text.splitlines(keepends=True)
        number = int(rng.integers(len(lines)))
        if rng.random() < 0.5:
            del lines[number]
        else:
            lines.insert(number, lines[number])
        file.write_text("".join(lines))
        return f"line {number} removed or doubled"
    values = list(re.finditer(r"(?<== )[^\n]+|[-+.\w]*\d[-+.\w]*|\"[^\"\n]*\"", text))
    chosen = values[rng.integers(len(values))]
    word = WORDS[rng.integers(len(WORDS))]
    file.write_text(text[: chosen.start()] + word + text[chosen.end() :])
    return f"{chosen.group()!r} is {word[:60]!r}"


def _hdf5_changed(file: Path, rng: np.random.Generator) -> str:
    with h5py.File(file, "r+") as opened:
        names: list[str] = []
        opened.visit(names.append)
        name = names[rng.integers(len(names))]
        if rng.random() < 0.5:
            node = opened[name] if rng.random() < 0.8 else opened
            keys = [*node.attrs, "resolution", "offset", "axes", "clew", "clew_table", "units"]
            key = keys[rng.integers(len(keys))]
            return f"attribute {key} of {node.name} {_attribute_changed(node.attrs, key, rng)}"
        old = opened[name]
        shape = old.shape if isinstance(old, h5py.Dataset) else (4, 4, 4)
        values = old[()] if isinstance(old, h5py.Dataset) else np.zeros(shape, np.uint8)
        del opened[name]
        ways: dict[str, Callable[[], Any]] = {
            "gone": lambda: None,
            "a group": lambda: opened.create_group(name),
            "text": lambda: opened.create_dataset(name, data=["a", "b"], dtype=h5py.string_dtype()),
            "of records": lambda: opened.create_dataset(name, shape, np.dtype([("a", "u1"), ("b", "f4")])),
            "complex": lambda: opened.create_dataset(name, data=values.astype(complex)),
            "floats": lambda: opened.create_dataset(name, data=values.astype(np.float16)),
            "not a number": lambda: opened.create_dataset(name, data=np.full(shape, np.nan)),
            "negative": lambda: opened.create_dataset(name, data=-1 - values.astype(np.int64)),
            "a number": lambda: opened.create_dataset(name, data=3),
            "nothing": lambda: opened.create_dataset(name, data=h5py.Empty("u1")),
            "empty": lambda: opened.create_dataset(name, (0, *shape[1:]), values.dtype),
            "shorter": lambda: opened.create_dataset(name, data=values[: len(values) // 2]),
            "flat": lambda: opened.create_dataset(name, data=values.ravel()),
            "shuffled": lambda: opened.create_dataset(name, data=rng.permutation(values)),
            "an exbibyte": lambda: opened.create_dataset(name, (1 << 20,) * 3, values.dtype, chunks=(16, 16, 16)),
            "ragged": lambda: opened.create_dataset(name, shape, h5py.vlen_dtype(np.uint8)),
            "an enumeration": lambda: opened.create_dataset(name, shape, h5py.enum_dtype({"a": 0, "b": 1})),
            "references": lambda: opened.create_dataset(name, shape, h5py.ref_dtype),
            "opaque": lambda: opened.create_dataset(name, shape, "V5"),
            "a dangling link": lambda: opened.__setitem__(name, h5py.SoftLink("/nowhere")),
            "a link to itself": lambda: opened.__setitem__(name, h5py.SoftLink(f"/{name}")),
            "the root": lambda: opened.__setitem__(name, opened["/"]),
            "in another file": lambda: opened.__setitem__(name, h5py.ExternalLink("nowhere.h5", "/raw")),
            "its own source": lambda: _own_source(opened, name, shape, values.dtype),
        }  # fmt: skip
        way = list(ways)[rng.integers(len(ways))]
        ways[way]()
        return f"{name} is {way}"


def _own_source(file: Any, name: str, shape: tuple[int, ...], dtype: Any) -> None:
    layout = h5py.VirtualLayout(shape, dtype)
    layout[...] = h5py.VirtualSource(".", name, shape, dtype)
    file.create_virtual_dataset(name, layout)


def _attribute_changed(attributes: Any, key: str, rng: np.random.Generator) -> str:
    values = (
        -1, 0, 10**9, "x", "", "{", "[]", "5", b"\xff\xfe", [1, 2], [0.0, 0, 0], [-1.0, 1, 1], [np.nan] * 3, [np.inf] * 3,
        [1e300] * 3, ["a", "b", "c"],
        np.zeros((2, 2)), np.zeros(3, [("a", "u1"), ("b", "f4")]), h5py.Empty("f4"), np.zeros(0), 1j, "[" * 5000,
        np.array([True, False, True]), '{"suggested_threshold": "x", "suggested_score": 5, "score": [], "offsets": 3}',
        '{"score": null, "offsets": [[1e400]], "parameters": 3, "stage": {}}',
    )  # fmt: skip
    value = values[rng.integers(len(values))]
    attributes[key] = value
    return f"is {str(value)[:60]!r}"


def _checkpoint_changed(file: Path, rng: np.random.Generator) -> str:
    content = torch.load(file, weights_only=True)
    if not isinstance(content, dict) or "header" not in content:  # the state of a training
        content[list(content)[rng.integers(len(content))]] = ODD[rng.integers(len(ODD))]
        torch.save(content, file)
        return "an entry of the state has another type"
    if rng.random() < 0.6:
        beside = file.with_suffix(".json")
        beside.write_text(content["header"])
        words = _json_changed(beside, rng)
        content["header"] = beside.read_text()
        beside.unlink()
        torch.save(content, file)
        return f"header: {words}"
    weights = content["weights"]
    name = list(weights)[rng.integers(len(weights))]
    tensor = weights[name]
    ways: dict[str, Callable[[], Any]] = {
        "gone": lambda: weights.pop(name),
        "whole numbers": lambda: weights.update({name: tensor.int()}),
        "complex": lambda: weights.update({name: tensor.to(torch.complex64)}),
        "sparse": lambda: weights.update({name: tensor.to_sparse()}),
        "not a number": lambda: weights.update({name: tensor * torch.nan}),
        "of another shape": lambda: weights.update({name: tensor.ravel()[:1]}),
        "a list": lambda: weights.update({name: [1, 2]}),
        "on no device": lambda: weights.update({name: tensor.to("meta")}),
        "a huge view": lambda: weights.update({name: tensor.ravel()[:1].expand(1 << 40)}),
        "beside another": lambda: weights.update({"other": tensor}),
        "under a number": lambda: weights.update({3: tensor}),
        "no table": lambda: content.update(weights=[tensor]),
        "not there": lambda: content.pop("weights"),
    }
    way = list(ways)[rng.integers(len(ways))]
    ways[way]()
    torch.save(content, file)
    return f"weights {name}: {way}"


def _tiff_changed(file: Path, rng: np.random.Generator) -> str:
    """Overwrite the type, the count or the value of a tag of the first pages."""
    content = bytearray(file.read_bytes())
    order = "little" if content[:2] == b"II" else "big"
    if rng.random() < 0.3:
        text = [found.span() for found in re.finditer(rb"\d+(\.\d+)?", content[:3000])]
        start, stop = text[rng.integers(len(text))]
        content[start:stop] = bytes(rng.choice([b"x", b"9", b"-", b"0"])) * (stop - start)
        file.write_bytes(content)
        return f"number in the text at {start} changed"
    place = int.from_bytes(content[4:8], order)
    count = int.from_bytes(content[place : place + 2], order)
    start = place + 2 + 12 * int(rng.integers(count))
    field, size = ((2, 2), (4, 4), (8, 4))[rng.integers(3)]
    value = int(rng.choice([0, 1, 2, 5, 7, 13, 255, 65535, (1 << 31) - 1, (1 << 32) - 1]))
    content[start + field : start + field + size] = (value % (1 << 8 * size)).to_bytes(size, order)
    tag = int.from_bytes(content[start : start + 2], order)
    file.write_bytes(content)
    return f"tag {tag}: bytes {field} on are {value}"


def _columns_changed(file: Path, rng: np.random.Generator) -> str:
    with np.load(io.BytesIO(file.read_bytes())) as table:
        columns = dict(table)
    name = list(columns)[rng.integers(len(columns))]
    columns[name] = columns[name].ravel()[:-1].astype(np.float32)
    np.savez(file, allow_pickle=False, **columns)
    return f"column {name} is shorter, of floats"


SPECIAL: dict[str, Callable[[Path, np.random.Generator], str]] = {
    ".json": _json_changed, ".zarray": _json_changed, ".zattrs": _json_changed, ".zgroup": _json_changed, "info": _json_changed,
    ".toml": _text_changed, ".nml": _text_changed, ".conf": _text_changed, ".csv": _text_changed, ".h5": _hdf5_changed,
    ".pt": _checkpoint_changed, ".tif": _tiff_changed, ".npz": _columns_changed,
}  # fmt: skip


def copy_input(source: Path, target: Path) -> None:
    """A copy of an input, to be mutated."""
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)
