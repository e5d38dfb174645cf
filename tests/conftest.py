"""Fixtures shared by all tests."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

pytest_plugins = ["object_storage", "batch_system"]
TESTS = Path(__file__).parent

WITHOUT_JIT = os.environ.get("NUMBA_DISABLE_JIT", "0") != "0"
settings.register_profile("default", deadline=None)
settings.register_profile("without-jit", deadline=None, max_examples=10)
settings.load_profile("without-jit" if WITHOUT_JIT else "default")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of large inputs need compiled kernels."""
    for item in items:
        if WITHOUT_JIT and item.get_closest_marker("compiled"):
            item.add_marker(pytest.mark.skip(reason="too large for kernels that are not compiled"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real EM volumes; the test is skipped where it is absent."""
    folder = Path(os.environ.get("CLEW_DATA", TESTS.parent.parent / "shared" / "data"))
    if not (folder / "fib25_sample2.h5").exists():
        pytest.skip(f"real EM data not found in {folder}; set CLEW_DATA to the folder of fib25_sample2.h5")
    return folder
