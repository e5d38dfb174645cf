"""The reference: a page for each command from its help, and for each group of Python names from their docstrings."""

import os
import re
from functools import cache
from pathlib import Path

import clew
from clew import cli
from clew.pipeline import COMMANDS

OVERVIEW = Path(__file__).parent.parent / "docs" / "reference" / "python.md"
GROUP = re.compile(r"^## (.+?)\n(.*?)(?=^## |\Z)", re.M | re.S)
USAGE = re.compile(r"(?<=```console\n).*?(?=$| --| [\[A-Z])", re.M)
"""The name of the program in a help text: cyclopts takes it from the program that runs, which is another one here."""
ROW = re.compile(r"^\| `clew\.(\w+)` \|", re.M)


@cache
def command_pages() -> dict[str, str]:
    """The name and text of the page of each command."""
    return {_command_page(name): _command(name) for name in COMMANDS}


def _command_page(name: str) -> str:
    return f"reference/commands/{name.replace('_', '-')}.md"


def _command(name: str) -> str:
    """What `--help` says, and the other two ways to call it."""
    written = name.replace("_", "-")
    text = cli.build_app(written)[written].generate_docs()
    text = re.sub("^# .*", f"# {written}", text)
    text = USAGE.sub(f"clew {written}", text)
    return f"{text}\nIn Python `clew.pipeline.{name}`, in a [run file](../run-file.md) the table `[{name}]`.\n"


@cache
def python_pages() -> dict[str, str]:
    """The name and text of a page for each group of names on the overview."""
    groups = {title: ROW.findall(text) for title, text in GROUP.findall(OVERVIEW.read_text())}
    return {_python_page(title): _python(title, names) for title, names in groups.items() if names}


def _python_page(title: str) -> str:
    return f"reference/python/{title.lower().replace(' ', '-')}.md"


def _python(title: str, names: list[str]) -> str:
    """A page from whose lines mkdocstrings makes signatures and docstrings."""
    parts = [f"::: {clew._MODULE_OF[name]}.{name}\n    options:\n      heading: clew.{name}\n" for name in names]
    return "\n".join([f"# {title}\n", *parts])


def link_to(word: str, here: Path) -> str | None:
    """A link from a folder to the page of a command (`train`) or to a Python name (`clew.UNet`); None for other words."""
    name = word.removeprefix("clew.")
    if word.replace("-", "_") in COMMANDS:
        return f"[`{word}`]({os.path.relpath(_command_page(word), here)})"
    return f"[`{word}`][{clew._MODULE_OF[name]}.{name}]" if name in clew._MODULE_OF else None
