"""Fixtures shared by all tests."""

import os
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
sys.path.insert(0, str(TESTS))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real EM volumes; the test is skipped where it is absent."""
    folder = Path(os.environ.get("CLEW_DATA", TESTS.parent.parent / "shared" / "data"))
    if not (folder / "fib25_sample2.h5").exists():
        pytest.skip(f"real EM data not found in {folder}; set CLEW_DATA to the folder of fib25_sample2.h5")
    return folder
