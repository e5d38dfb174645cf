"""What zensical gets to read: all pages in one folder, links that fit there, the reference, and the way between them."""

import json
import os
import re
import shutil
from pathlib import Path

from website.reference import command_pages, link_to, python_pages

AT_THE_TOP = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changes.md"}
"""Pages that lie beside docs/, and their names in the site."""
COPIED = (".png", ".svg", ".csv", ".toml")
OVERVIEWS = ("README.md", "commands.md", "python.md")
"""Pages whose tables name, in the first column, what the reference describes."""
CODE = re.compile(r"^```.*?^```$", re.M | re.S)
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s#]+)(#[^)\s]*)?\)")
FIRST_CELL = re.compile(r"^\| `([\w.-]+)` \|", re.M)
LISTED = re.compile(r"^## Documentation\n(.*?)^## ", re.M | re.S)
GROUP = re.compile(r"^- (\w[\w ]*): (.*?)(?=^- |\Z)", re.M | re.S)


def lay_out(root: Path, build: Path) -> Path:
    """Write the pages of the site and its settings into a folder; return the settings."""
    pages = build / "pages"
    shutil.rmtree(pages, ignore_errors=True)
    for file in (root / "docs").rglob("*"):
        if file.suffix in COPIED:
            write(pages / file.relative_to(root / "docs"), file.read_bytes())
    for page in [*(root / "docs").rglob("*.md"), *(root / name for name in AT_THE_TOP)]:
        write(pages / name_in_site(page, root), with_links(page, root).encode())
    for name, text in {**command_pages(), **python_pages()}.items():
        write(pages / name, text.encode())
    shutil.copy(root / "website" / "style.css", pages)
    settings = (root / "website" / "zensical.toml").read_text()
    write(build / "zensical.toml", settings.replace("[project]\n", f"[project]\nnav = {way(root)}\n").encode())
    return build / "zensical.toml"


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def name_in_site(file: Path, root: Path) -> str | None:
    """Where a file of the repository stands in the site; None where it does not."""
    name = file.relative_to(root).as_posix()
    return AT_THE_TOP.get(name) or (name.removeprefix("docs/") if name.startswith("docs/") else None)


def with_links(page: Path, root: Path) -> str:
    """The text of a page, with links as they are in the site, also from names in tables to the reference."""
    here = Path(name_in_site(page, root)).parent

    def moved(found: re.Match[str]) -> str:
        picture, text, target, anchor = found.groups("")
        if "://" in target:
            return found[0]
        name = name_in_site((page.parent / target).resolve(), root)
        return f"{picture}[{text}]({os.path.relpath(name, here)}{anchor})" if name else text

    def described(found: re.Match[str]) -> str:
        link = link_to(found[1], here)
        return f"| {link} |" if link else found[0]

    text, codes = CODE.sub("\0", page.read_text()), CODE.findall(page.read_text())
    text = LINK.sub(moved, text)
    if page.name in OVERVIEWS:
        text = FIRST_CELL.sub(described, text)
    return re.sub("\0", lambda _: codes.pop(0), text)


def way(root: Path) -> str:
    """The menu of the site in TOML: the groups and pages in the order in which the README lists them."""
    entries = [item("Home", '"index.md"')]
    for title, links in GROUP.findall(LISTED.search((root / "README.md").read_text())[1]):
        pages = [item(text, json.dumps(name_in_site(root / name, root))) for _, text, name, _ in LINK.findall(links)]
        if title == "Reference":
            pages += [item("Each command", under(command_pages())), item("Each Python name", under(python_pages()))]
        entries.append(item(title, f"[{', '.join(pages)}]"))
    return f"[{', '.join(entries)}]"


def under(pages: dict[str, str]) -> str:
    return json.dumps(list(pages))


def item(title: str, target: str) -> str:
    return f"{{ {json.dumps(title[0].upper() + title[1:])} = {target} }}"
