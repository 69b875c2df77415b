"""Writes cases.csv, the cases on which reference.R computes its values.

One continuous score and one correlated with it, an ordinal score full of ties, and a score that is worse than
chance; unequal classes.
"""

from pathlib import Path

import numpy as np

CASES = 131


def main() -> None:
    rng = np.random.default_rng(20240611)
    y_true = (rng.random(CASES) < 0.37).astype(int)
    shared = rng.normal(size=CASES)
    first = 1.1 * y_true + 0.8 * shared + 0.6 * rng.normal(size=CASES)
    second = 0.7 * y_true + 0.8 * shared + 0.6 * rng.normal(size=CASES)
    ordinal = np.clip(np.round(1.5 + 1.4 * y_true + rng.normal(size=CASES)), 0, 4)
    reverse = np.round(-0.8 * y_true + rng.normal(size=CASES), 1)
    table = np.column_stack([y_true, np.round(first, 6), np.round(second, 6), ordinal, reverse])
    header = "y_true,first,second,ordinal,reverse"
    path = Path(__file__).with_name("cases.csv")
    np.savetxt(
        path, table, delimiter=",", header=header, comments="", fmt=["%d", "%.6f", "%.6f", "%d", "%.1f"]
    )


if __name__ == "__main__":
    main()
