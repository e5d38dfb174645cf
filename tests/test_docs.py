"""The documentation is true: every code block runs, every link leads somewhere, every table is complete."""

import re
import shlex
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

import clew
from clew import cli, pipeline
from clew.network.bundled import bundled_names

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
BUNDLED = "fib-10nm"
RUN_HERE = ("python", "bash", "console", "toml")
SCRIPT = "#!"
"""Begins a job script, which tests/test_batch_pages.py runs."""
LONGEST = 1000
"""Words of a page that is read from top to bottom: two tall screens. The reference is looked up."""
LONG = {
    "explanation/architecture.md": "one table of words, one tree, one order, which belong side by side",
    "explanation/benchmarks.md": "the table of one run, written by a program",
    "explanation/dependencies.md": "a row for each package",
    "explanation/exactness.md": "one proof",
    "explanation/history.md": "what was tried, each part by itself: linked to, not read through",
    "explanation/scaling.md": "the tables of one series of measurements",
    "how-to/choose-a-threshold.md": "what can be asked of one merge tree, all with the same two volumes",
    "how-to/export.md": "a section for each of many formats: looked up, not read through",
    "how-to/large-volumes.md": "what to do when something fails must be found in one place",
    "how-to/reproduce-the-paper.md": "three data sets of one paper, side by side",
    "how-to/train-on-your-data.md": "the recipe, whose options explain each other",
}
"""Pages that may be longer, and why."""
SHOWN_ONLY = ("text", "")
FENCE = re.compile(
    r"(?:^<!-- (?P<reason>not run: [^\n]+?) -->\n)?^```(?P<language>\w*)\n(?P<code>.*?)^```$", re.M | re.S
)
LINK = re.compile(r"\]\(([^)\s]+)\)")


class Block(NamedTuple):
    """A fenced code block of a page."""

    language: str
    code: str
    line: int
    skipped: bool


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text()
    return [
        Block(
            found["language"], found["code"], text[: found.start("code")].count("\n") + 1, found["reason"] is not None
        )
        for found in FENCE.finditer(text)
    ]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest):
    blocks = [
        block
        for block in blocks_of(page)
        if block.language in RUN_HERE and not block.skipped and not block.code.startswith(SCRIPT)
    ]
    if not blocks:
        pytest.skip("no code to run on this page")
    if "<!-- needs: the bundled network -->" in page.read_text() and BUNDLED not in bundled_names():
        pytest.skip(f"the bundled network {BUNDLED} is not there: make weights DATA=FOLDER")
    if "<!-- needs: an object store -->" in page.read_text():
        request.getfixturevalue("s3")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__docs__"}
    for block in blocks:
        try:
            run_block(block, page, names)
        except (Exception, SystemExit) as error:
            raise AssertionError(f"{name_of(page)}, block in line {block.line}: {error!r}") from error


def run_block(block: Block, page: Path, names: dict[str, object]) -> None:
    """Python is executed, `clew` lines go through the command line, TOML is written to the file its first line names."""
    if block.language == "python":
        exec(compile(block.code, f"{name_of(page)}:{block.line}", "exec"), names)
    elif block.language == "toml":
        tomllib.loads(block.code)
        Path(block.code.splitlines()[0].removeprefix("#").strip()).write_text(block.code)
    else:
        for line in block.code.replace("\\\n", " ").splitlines():
            run_line(line.removeprefix("$ ").strip())


def run_line(line: str) -> None:
    if not line or line.startswith("#"):
        return
    program, *arguments = shlex.split(line, comments=True)
    assert program == "clew", f"only clew commands run here, not {line!r}: mark the block <!-- not run: reason -->"
    try:
        cli.main(arguments)
    except SystemExit as stop:
        assert not stop.code, f"{line!r} ended with exit code {stop.code}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_blocks_are_of_a_known_language(page: Path):
    text = page.read_text()
    assert text.count("```") == 2 * len(blocks_of(page))
    assert {block.language for block in blocks_of(page)} <= {*RUN_HERE, *SHOWN_ONLY}
    assert text.count("<!-- not run:") == sum(block.skipped for block in blocks_of(page))
    for block in blocks_of(page):
        if block.language == "toml":
            assert re.match(r"# [\w./-]+\.toml\n", block.code), "the first line of a TOML block names its file"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path):
    for target in LINK.findall(page.read_text()):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{name_of(page)} links to {target}"
        assert not anchor or anchor in anchors_of(found), f"{name_of(page)} links to {target}"


def anchors_of(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def test_pages_are_short_or_have_a_reason():
    pages = {page.relative_to(DOCS).as_posix(): page for page in PAGES if DOCS in page.parents}
    read = {name: len(page.read_text().split()) for name, page in pages.items() if not name.startswith("reference/")}
    assert {name for name, words in read.items() if words > LONGEST} <= set(LONG), "split the page, or say here why not"
    assert set(LONG) <= set(read)


@pytest.mark.parametrize("page", [ROOT / "README.md", DOCS / "reference" / "commands.md"], ids=name_of)
def test_tables_of_commands_are_complete(page: Path):
    named = re.findall(r"^\| `([a-z-]+)` \|", page.read_text(), re.M)
    assert named == [name.replace("_", "-") for name in pipeline.COMMANDS]


def test_python_page_names_every_public_name():
    named = set(re.findall(r"`clew\.(\w+)`", (DOCS / "reference" / "python.md").read_text()))
    assert set(clew.__all__) <= named
    assert all(hasattr(clew, name) for name in named - {"pipeline", "volumes"})


def test_every_dependency_is_explained():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = project["project"]["dependencies"] + project["dependency-groups"]["dev"]
    text = (DOCS / "explanation" / "dependencies.md").read_text()
    named = set(re.findall(r"^\| ([\w, -]+) \|", text, re.M))
    assert {re.match(r"[\w-]+", entry)[0] for entry in wanted} <= {name for row in named for name in row.split(", ")}


def test_every_page_is_linked_from_the_readme():
    linked = set(LINK.findall((ROOT / "README.md").read_text()))
    assert {name_of(page) for page in PAGES[1:]} <= linked


def test_the_readme_for_the_package_index_leads_nowhere_wrong(monkeypatch: pytest.MonkeyPatch):
    hatchling = ModuleType("hatchling.metadata.plugin.interface")  # not installed: only builds need it
    hatchling.MetadataHookInterface = object  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, hatchling.__name__, hatchling)
    text = import_module("hatch_build").description((ROOT / "README.md").read_text())
    assert "(`docs/tutorial/first-segmentation.md`)" in text
    assert "![" not in text
    assert all("://" in target for target in LINK.findall(text))
