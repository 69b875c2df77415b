"""Writes calibration_cases.csv, the cases on which calibration.R computes its values.

Two models of one label: one too sure of itself, one too high and blurred. Some patients have several cases, which are
alike. The probabilities are written to four digits, so that some tie.
"""

from pathlib import Path

import numpy as np
from scipy.special import expit

PATIENTS = 190


def main() -> None:
    rng = np.random.default_rng(20250317)
    patient = np.repeat(np.arange(PATIENTS), rng.integers(1, 4, size=PATIENTS))
    odds = rng.normal(-0.7, 1.2, size=PATIENTS)[patient] + 0.6 * rng.normal(size=len(patient))
    y_true = (rng.random(len(patient)) < expit(odds)).astype(int)
    sure = np.clip(np.round(expit(1.7 * odds + 0.2), 4), 1e-4, 1 - 1e-4)
    blurred = np.clip(np.round(expit(0.6 * odds + 0.5 + 0.7 * rng.normal(size=len(odds))), 4), 1e-4, 1 - 1e-4)
    order = rng.permutation(len(patient))
    table = np.column_stack([patient, y_true, sure, blurred])[order]
    np.savetxt(
        Path(__file__).parent / "calibration_cases.csv",
        table,
        fmt=("%d", "%d", "%.4f", "%.4f"),
        delimiter=",",
        header="patient,y_true,sure,blurred",
        comments="",
    )


if __name__ == "__main__":
    main()
