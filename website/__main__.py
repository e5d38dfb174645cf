"""`python -m website`: build the site into build/site, without network; a link that leads nowhere is an error."""

import subprocess
import sys
from pathlib import Path

from website.links import broken_links
from website.pages import lay_out

ROOT = Path(__file__).parent.parent
BUILD = ROOT / "build"


def main() -> int:
    settings = lay_out(ROOT, BUILD)
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict", "--config-file", str(settings)]
    code = subprocess.run(command, cwd=BUILD).returncode
    if code:
        return code
    broken = broken_links(BUILD / "site")
    print("\n".join([*broken, f"{len(broken)} broken links"]) if broken else "open build/site/index.html")
    return bool(broken)


if __name__ == "__main__":
    sys.exit(main())
