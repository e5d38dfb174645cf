"""The README as the package index shows it, where relative links lead nowhere: paths in words, and no picture."""

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

PICTURE = re.compile(r"^!\[[^\]]*\]\([^)]*\)\n\n.*\n", re.M)
"""A picture and the line below it."""
RELATIVE = re.compile(r"\[([^\]]+)\]\((?!\w+:)([^)]+)\)")


def description(readme: str) -> str:
    """The README without what an index cannot follow."""
    text = RELATIVE.sub(r"\1 (`\2`)", PICTURE.sub("", readme))
    return text + "\nPaths in parentheses lie in the source distribution.\n"


class ReadmeHook(MetadataHookInterface):
    """Called by hatchling for the fields that pyproject.toml calls dynamic."""

    def update(self, metadata: dict[str, Any]) -> None:
        text = description(Path(self.root, "README.md").read_text())
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
