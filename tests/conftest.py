"""Shapes in annotations are checked while the tests run; real data is found beside the project."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")

from jaxtyping import install_import_hook

install_import_hook("dgccl", "beartype.beartype").__enter__()

REAL_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real PET/CT data, or a skip where it is absent."""
    if not REAL_DATA.is_dir():
        pytest.skip("real data (shared/data beside the project) is absent")
    return REAL_DATA
