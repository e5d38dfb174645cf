"""The public names: one flat list, loaded when asked for."""

import subprocess
import sys

import pytest

import clew


@pytest.mark.parametrize("name", clew.__all__)
def test_public_names_load_and_are_documented(name: str):
    assert getattr(clew, name).__doc__ or isinstance(getattr(clew, name), dict)


def test_import_loads_nothing_heavy():
    heavy = "{'numpy', 'numba', 'torch', 'scipy', 'matplotlib', 'h5py', 'tensorstore', 'pydantic'}"
    code = f"import sys, clew, clew.pipeline; print(sorted({heavy} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.strip() in ("[]", "['numpy']")
