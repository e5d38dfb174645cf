"""Are exports read by the tools that they are for? FOLDER READER…, each in an environment of its own, from PyPI.

One that fails does not stop the others; at the end stands what each has opened.
"""

import shutil
import subprocess
import sys
import time
import venv
from pathlib import Path

HERE = Path(__file__).parent
SHARED = {"graphene": "cloud_volume"}
"""Readers that use the environment of another."""
ARGUMENTS = {"graphene": [sys.executable, str(HERE / "serve.py")]}
"""By default the folder of the exports."""


def main(folder: Path, readers: list[str]) -> int:
    """Write the exports anew, let all read them, and say how it went; the number of readers that failed."""
    exports = folder / "exports"
    shutil.rmtree(exports, ignore_errors=True)
    exports.mkdir(parents=True)
    subprocess.run([sys.executable, HERE / "write.py", exports], check=True)
    summary, failed = [], 0
    for reader in readers:
        started, place, opened = time.monotonic(), folder / SHARED.get(reader, reader), []
        try:
            opened = read(reader, environment(place), exports)
            words = "opened all"
        except subprocess.CalledProcessError as error:
            failed, words = failed + 1, f"FAILED, {error}"
        summary.append(f"{reader}: {words} ({time.monotonic() - started:.0f} s, {size(place) / 1e6:.0f} MB)")
        summary += [f"    {line}" for line in opened]
    print("\n".join(["", *summary, f"{len(readers) - failed} of {len(readers)} readers opened all they were given"]))
    return failed


def environment(folder: Path) -> Path:
    """The Python of an environment with the packages of a reader, made where it is missing or for other ones."""
    packages, ready, python = HERE / f"{folder.name}.txt", folder / "ready.txt", folder / "bin" / "python"
    if not ready.exists() or ready.read_bytes() != packages.read_bytes():
        venv.create(folder, clear=True, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", packages], check=True)
        shutil.copyfile(packages, ready)
    return python


def read(reader: str, python: Path, exports: Path) -> list[str]:
    """What a reader says that it has opened."""
    command = [str(python), str(HERE / f"read_{reader}.py"), *ARGUMENTS.get(reader, [str(exports.absolute())])]
    lines = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            lines.append(line.rstrip())
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command[1])
    return lines


def size(folder: Path) -> int:
    """Bytes of the files in a folder."""
    return sum(file.lstat().st_size for file in folder.rglob("*"))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
