"""The cases and R's values that the tests of probabilities share."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dgccl.errors import StatsError

HERE = Path(__file__).parent / "reference"
MODELS = ("sure", "blurred")
CLOSE = 1e-8


def read_values(path: Path) -> dict[str, float]:
    with path.open(encoding="utf-8", newline="") as file:
        return {row["quantity"]: float(row["value"]) for row in csv.DictReader(file)}


_TABLE = np.genfromtxt(HERE / "calibration_cases.csv", delimiter=",", names=True)
CASES = {name: np.array(_TABLE[name]) for name in ("sure", "blurred")}
Y = _TABLE["y_true"].astype(int)
PATIENT = _TABLE["patient"].astype(int)
R = read_values(HERE / "calibration.csv")


def close(name: str) -> object:
    return pytest.approx(R[name], abs=CLOSE)


def code_of(call: Callable[[], object]) -> str:
    """The code of the error that a call must raise."""
    with pytest.raises(StatsError) as caught:
        call()
    return caught.value.code
