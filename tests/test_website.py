"""The site holds every page, command and public name, and a link that leads nowhere is found."""

import tomllib
from pathlib import Path

import pytest
from website.links import broken_links
from website.pages import lay_out
from website.reference import command_pages, python_pages

import clew
from clew.pipeline import COMMANDS

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def laid_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    lay_out(ROOT, folder)
    return folder


def pages_in(way: list) -> set[str]:
    found = set()
    for entry in way:
        target = next(iter(entry.values())) if isinstance(entry, dict) else entry
        found |= {target} if isinstance(target, str) else pages_in(target)
    return found


def test_the_menu_names_every_page(laid_out: Path):
    menu = pages_in(tomllib.loads((laid_out / "zensical.toml").read_text())["project"]["nav"])
    pages = laid_out / "pages"
    assert menu == {page.relative_to(pages).as_posix() for page in pages.rglob("*.md")}
    assert len(menu) > len(COMMANDS)


def test_every_public_name_and_every_command_is_described():
    described = "\n".join(python_pages().values())
    assert all(f".{name}\n" in described for name in clew.__all__)
    assert len(command_pages()) == len(COMMANDS)
    for name in COMMANDS:
        written = name.replace("_", "-")
        page = command_pages()[f"reference/commands/{written}.md"]
        assert page.startswith(f"# {written}\n")
        assert f"\nclew {written}" in page


def test_links_fit_the_site(laid_out: Path):
    home = (laid_out / "pages" / "index.md").read_text()
    assert "](tutorial/first-segmentation.md)" in home
    assert "](images/neurons.png)" in home
    assert "[`verify-blocks`](reference/commands/verify-blocks.md)" in home
    assert "under the MIT licence." in home  # the file of the licence is no page
    assert "[`clew.UNet`][clew.network.unet.UNet]" in (laid_out / "pages" / "reference" / "python.md").read_text()


def test_code_keeps_what_looks_like_a_link(laid_out: Path):
    assert "\0" not in "".join(page.read_text() for page in (laid_out / "pages").rglob("*.md"))


def test_broken_links_are_found(tmp_path: Path):
    (tmp_path / "there.html").write_text('<h1 id="head">There</h1>')
    good = '<a href="there.html#head"></a><a href="#"></a><a href="https://x.org/none"></a><img src="there.html">'
    (tmp_path / "good.html").write_text(good)
    assert broken_links(tmp_path) == []
    (tmp_path / "bad.html").write_text('<a href="there.html#foot"></a><img src="none.png"><a href="#none"></a>')
    assert broken_links(tmp_path) == ["bad.html: #none", "bad.html: none.png", "bad.html: there.html#foot"]
