"""What all tests share: real data, quiet progress, small pictures."""

import os
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("KERASVISION_QUIET", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder with the real data, or skip."""
    folder = Path(os.environ.get("KERASVISION_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data: {folder} is not there (set KERASVISION_DATA)")
    return folder


@pytest.fixture
def rng() -> np.random.Generator:
    """Return a seeded random generator."""
    return np.random.default_rng(0)
