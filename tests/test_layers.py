"""Who may import whom: one order for the whole house, imports inside functions included."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import clew

ROOT = Path(clew.__file__).parent
LAYERS = (
    ("errors",), ("space", "ranges", "signals", "documents", "memory"), ("arrays", "grey", "replace"), ("labels", "lock"),
    ("kernels", "blockwise"), ("evaluation", "segmentation", "network"), ("training", "proofreading", "meshes"),
    ("planning", "volumes", "synthetic", "view", "export"), ("pipeline",), ("cli",),
)  # fmt: skip
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
ONLY_IN = {"torch": {"network", "training"}, "numba": {"kernels"}, "neuroglancer": {"view", "meshes"},
           "DracoPy": {"export"}, "bioimage_cpp": {"meshes"}, "fast_simplification": {"meshes"},
           "tensorstore": {"volumes"}, "h5py": {"volumes", "pipeline"}, "matplotlib": {"view"},
           "cyclopts": {"cli"}, "openvino": {"network"}, "onnx": {"network"},
           "distributed": {"blockwise"}, "pydantic": {"pipeline"}}  # fmt: skip
SCIENCE = {
    "meshes",
    "proofreading",
    "export",
    "evaluation",
    "segmentation",
    "network",
    "training",
    "planning",
    "synthetic",
    "kernels",
    "blockwise",
}
FILE_READERS = {"h5py", "tifffile", "tensorstore", "zarr", "csv", "tomllib"}
MODULES = sorted(path for path in ROOT.rglob("*.py") if path.name != "__main__.py")
PAGE = Path(__file__).parent.parent / "docs" / "explanation" / "architecture.md"
DIAGRAMS = re.findall(r"^```text\n(.*?)^```$", PAGE.read_text(), re.M | re.S)


def imported(path: Path) -> Iterator[tuple[str, ...]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from ((*node.module.split("."), alias.name) for alias in node.names)


def layer_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down(path: Path):
    layer = layer_of(path)
    if layer == "__init__":
        return
    for name in imported(path):
        if name[0] != "clew":
            assert layer in ONLY_IN.get(name[0], {layer}), f"{name[0]} is not for {layer}"
            assert not (layer in SCIENCE and name[0] in FILE_READERS), f"{layer} must not read files ({name[0]})"
            continue
        other = name[1]
        if other in RANK and other != layer:
            assert RANK[other] < RANK[layer], f"{layer} must not import {other}"
        if layer == "synthetic":
            assert other in ("synthetic", "errors", "ranges", "space"), "synthetic uses nothing of ours but the ground"


def docstring_lines(tree: ast.AST) -> int:
    lines = 0
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
            lines += node.body[0].end_lineno - node.body[0].lineno + 1
    return lines


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_stay_short(path: Path):
    text = path.read_text()
    assert len(text.splitlines()) - docstring_lines(ast.parse(text)) <= 400, "split the file"


def test_the_architecture_page_has_this_order():
    diagram = next(text for text in DIAGRAMS if text.startswith("errors <"))
    found = tuple(tuple(names.split()) for names in diagram.split("<"))
    wanted = " < ".join(" ".join(names) for names in LAYERS)
    assert found == LAYERS, f"LAYERS has changed: write on {PAGE} under 'Who may import whom'\n{wanted}"


def test_every_folder_and_file_has_a_layer():
    there = {path.stem for path in ROOT.glob("[a-z]*") if path.is_dir() or path.suffix == ".py"}
    assert set(RANK) == there, "LAYERS in this file must name what lies in src/clew, and only that"


def test_the_architecture_page_has_this_tree():
    diagram = next(text for text in DIAGRAMS if text.startswith("src/clew/"))
    tree = "".join(line for line in diagram.splitlines(keepends=True) if line[0] in "├│└")
    folders = {f"{path.name}/" for path in ROOT.rglob("[a-z]*") if path.is_dir()}
    there = folders | {path.name for path in ROOT.glob("*.py")}
    named = set(re.findall(r"\w+/|\w+\.py", tree))
    assert named == there, f"the tree on {PAGE} lacks {sorted(there - named)}; no longer there: {named - there}"


@pytest.mark.parametrize("path", sorted(Path(__file__).parent.rglob("test_*.py")), ids=lambda path: path.stem)
def test_tests_import_no_other_test(path: Path):
    shared = [".".join(name) for name in imported(path) if any(part.startswith("test_") for part in name)]
    assert not shared, "what tests share stands in conftest.py, or in a module without test_"


PACKAGES = sorted(ROOT.rglob("__init__.py"))


@pytest.mark.parametrize("path", PACKAGES, ids=lambda path: str(path.parent.relative_to(ROOT)))
def test_every_package_says_what_it_is_for(path: Path):
    lines = (ast.get_docstring(ast.parse(path.read_text())) or "").splitlines()
    assert 3 <= len(lines) <= 10, "say in 3 to 10 lines what comes in, what goes out, and what to read first"
