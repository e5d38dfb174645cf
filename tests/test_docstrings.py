"""Docstrings speak one dialect (numpydoc with types), and every public name has an example that runs.

Examples see numpy as `np` and this package as `clew`, and start in an empty folder: they need no imports.
Options records and the functions of `clew.pipeline` name their parameters without types: they are the help texts of the
command line, and the types stand in the signature.
"""

import ast
import doctest
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import clew

SOURCE = Path(clew.__file__).parent
LONGEST_SUMMARY = 79
SECTION = re.compile(r"^(\w+)\n-{3,}$", re.M)
ENTRY = re.compile(r"^(?P<names>\*{0,2}\w+(?:, \*{0,2}\w+)*)(?P<type> : \S.*)?$", re.M)


class Documented(NamedTuple):
    """A docstring and what it belongs to; the text is empty where there is none."""

    module: str
    name: str
    node: ast.AST
    text: str

    @property
    def place(self) -> str:
        return f"{self.module}:{self.name}"

    @property
    def is_help_text(self) -> bool:
        """Whether the parameters are options of the command line."""
        options = isinstance(self.node, ast.ClassDef) and self.module.endswith("options")
        return options or self.module.startswith("clew.pipeline")

    def section(self, title: str) -> str:
        """The text of a section, empty where there is none."""
        parts = SECTION.split(self.text)
        return dict(zip(parts[1::2], parts[2::2], strict=True)).get(title, "")


def documented(path: Path) -> Iterator[Documented]:
    """Modules, classes, functions and documented constants of a file."""
    module = ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__")
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield Documented(module, getattr(node, "name", "module"), node, ast.get_docstring(node) or "")
    for node, after in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(after, ast.Expr):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            yield Documented(module, ast.unparse(target), node, str(ast.literal_eval(after.value)))


ALL = [entry for path in sorted(SOURCE.rglob("*.py")) for entry in documented(path)]
PUBLIC = [entry for entry in ALL if entry.module.startswith(clew._MODULE_OF.get(entry.name, "nowhere"))]


def entries_of(section: str) -> dict[str, bool]:
    """Names that a section documents, and whether each has a type."""
    found = {}
    for entry in ENTRY.finditer(section):
        found |= {name.strip("*"): bool(entry["type"]) for name in entry["names"].split(", ")}
    return found


def parameters_of(node: ast.AST) -> set[str]:
    """What the caller of a function, or the maker of a class, may give."""
    if isinstance(node, ast.ClassDef):
        inits = [part for part in node.body if isinstance(part, ast.FunctionDef) and part.name == "__init__"]
        fields = [
            part for part in node.body if isinstance(part, ast.AnnAssign) and "init=False" not in ast.unparse(part)
        ]
        return parameters_of(inits[0]) if inits else {ast.unparse(part.target) for part in fields}
    assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg]
    return {argument.arg for argument in every if argument is not None} - {"self", "cls"}


def test_first_lines_are_short_sentences():
    long = {entry.place: entry.text.splitlines()[0] for entry in ALL if entry.text and first_line_is_long(entry)}
    assert not long, f"first lines of {LONGEST_SUMMARY} characters at most: {long}"


def first_line_is_long(entry: Documented) -> bool:
    return not isinstance(entry.node, ast.Assign | ast.AnnAssign) and (
        len(entry.text.splitlines()[0]) > LONGEST_SUMMARY or "\n" in re.split(r"\n\s*\n", entry.text)[0]
    )


def test_parameters_are_complete_and_typed():
    wrong = {}
    for entry in ALL:
        described, attributes = entries_of(entry.section("Parameters")), entries_of(entry.section("Attributes"))
        if described and not entry.is_help_text:
            bare = {name for name, typed in (described | attributes).items() if not typed}
            if (differing := described.keys() ^ parameters_of(entry.node)) or bare:
                wrong[entry.place] = f"not documented or not there: {differing}; without a type: {bare}"
    assert not wrong, f"`name : type` for every parameter: {wrong}"


def test_every_public_name_is_documented():
    assert {entry.name for entry in PUBLIC} == set(clew.__all__)
    wrong = {}
    for entry in PUBLIC:
        wanted = {"Examples"}
        if isinstance(entry.node, ast.FunctionDef):
            wanted |= {"Parameters"} if parameters_of(entry.node) else set()
            wanted |= {"Returns"} if ast.unparse(entry.node.returns or ast.Constant(None)) != "None" else set()
        if missing := {title for title in wanted if not entry.section(title)}:
            wrong[entry.place] = missing
    assert not wrong, f"sections of public names: {wrong}"


@pytest.mark.parametrize("entry", [entry for entry in ALL if ">>>" in entry.text], ids=lambda entry: entry.place)
def test_examples_run(entry: Documented, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    names = {"np": np, "clew": clew}
    example = doctest.DocTestParser().get_doctest(entry.text, names, entry.place, None, 0)
    said: list[str] = []
    result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, out=said.append)
    assert result.attempted
    assert not result.failed, "".join(said)
