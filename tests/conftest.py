"""What all tests share: real data, quiet progress, small pictures."""

import os
import subprocess
import sys
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


@pytest.fixture(scope="session")
def keras_home(real_data, tmp_path_factory) -> Path:
    """Return a folder for KERAS_HOME with the real ImageNet weights of MobileNetV2."""
    folder = tmp_path_factory.mktemp("keras_home")
    tool = real_data.parent / "tools" / "keras_home.py"
    subprocess.run([sys.executable, tool, folder], check=True, timeout=300, capture_output=True)
    return folder


@pytest.fixture(scope="session")
def orl_faces(real_data) -> tuple[np.ndarray, np.ndarray]:
    """Return the ORL faces, (300, 112, 92) uint8, and who they show: 30 people, ten photos each."""
    with np.load(real_data / "orl_faces_30.npz") as file:
        return file["images"], file["labels"].astype(np.int32)


@pytest.fixture
def rng() -> np.random.Generator:
    """Return a seeded random generator."""
    return np.random.default_rng(0)
