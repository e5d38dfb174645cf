"""Kernels that another person can change: few arguments, one idiom of index."""

import ast
from pathlib import Path

import pytest

import clew

MOST_ARGUMENTS = 8
FILES = sorted((Path(clew.__file__).parent / "kernels").glob("*.py"))
BY_FILE = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


@BY_FILE
def test_functions_have_few_arguments(path: Path):
    found = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef))
    counts = {node.name: len(node.args.posonlyargs + node.args.args + node.args.kwonlyargs) for node in found}
    many = {name: count for name, count in counts.items() if count > MOST_ARGUMENTS}
    assert not many, "put what belongs together into a named tuple"


@BY_FILE
def test_unsigned_indices_are_written_in_one_way(path: Path):
    indices = (node.slice for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Subscript))
    calls = {ast.unparse(node.func) for index in indices for node in ast.walk(index) if isinstance(node, ast.Call)}
    assert not calls & {"np.uint64", "np.uintp", "_U"}, "write array[at(index)]"
