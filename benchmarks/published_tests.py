"""Published tests of the method that do not follow from their own inputs, recomputed; writes docs/published-tests.md.

Usage: python benchmarks/published_tests.py

The inputs are as published (fold AUCs, a table of paired calls, an interval on 500 cases); DG-CCL's own statistics do
the arithmetic, and tests hold them against scipy and R.
"""

from pathlib import Path

import numpy as np

from dgccl import stats
from dgccl.stats.area_variance import area_variance

PAGE = Path(__file__).resolve().parents[1] / "docs" / "published-tests.md"
FOLDS = np.array([0.907, 0.919, 0.923, 0.915, 0.918]), np.array([0.879, 0.882, 0.891, 0.883, 0.890])
CALLS = np.array([[583, 32], [28, 7]])
PUBLISHED_T, PUBLISHED_P_T, PUBLISHED_P_MCNEMAR = 5.327, 0.0062, 0.0013
PUBLISHED_AUC, PUBLISHED_ENDS, PUBLISHED_CASES = 0.916, (0.902, 0.930), 500
SHARES = (0.3, 0.4, 0.5, 0.6, 0.7)


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")
    print(f"Written: {PAGE.name}")


def half_width(auc: float, *, positives: int, negatives: int) -> float:
    """Half of a 95 % interval of an AUC, by the variance of Hanley and McNeil."""
    return float(1.959964 * np.sqrt(area_variance(auc, positives, negatives, variance="hanley_mcneil")))


def page() -> str:
    """The page as Markdown."""
    ours, theirs = FOLDS
    plain = stats.paired_t_over_folds(ours, theirs)
    corrected = stats.corrected_resampled_t(ours, theirs, test_fraction=1 / len(ours))
    mcnemar = stats.mcnemar_exact(int(CALLS[0, 1]), int(CALLS[1, 0]))
    low, high = PUBLISHED_ENDS
    rows = []
    for share in SHARES:
        positives = round(share * PUBLISHED_CASES)
        half = half_width(PUBLISHED_AUC, positives=positives, negatives=PUBLISHED_CASES - positives)
        rows.append(f"| {share:.0%} | ±{half:.3f} |")
    return f"""# Published tests, recomputed

Three figures that were published with the method do not follow from the inputs published beside them.
Below, the same inputs and what comes out. Why they differ cannot be told from here; what was meant may have
been another test, or other inputs.

Command: `python benchmarks/published_tests.py`. What is called published is as printed; all else is computed.

## Paired t-test over five folds

AUC of the method {_listed(ours)}, of late fusion {_listed(theirs)}.

| | t | p |
|---|---|---|
| published | {PUBLISHED_T} | {PUBLISHED_P_T} |
| paired t-test (`dgccl.stats`) | {plain.t:.2f} | {plain.p:.2g} |
| with the Nadeau-Bengio correction, a fifth tested | {corrected.t:.2f} | {corrected.p:.2g} |

The folds of a cross-validation share training cases, so that the plain test is too sure; the correction
allows for that.

## McNemar's test

Calls of two models on the same {int(CALLS.sum())} cases, of which {int(CALLS[0, 1])} and {int(CALLS[1, 0])}
differ one way and the other.

| | p |
|---|---|
| published | {PUBLISHED_P_MCNEMAR} |
| exact | {mcnemar.p:.3f} |
| mid-p | {mcnemar.mid_p:.3f} |

## An interval of an AUC

Published: {PUBLISHED_AUC} ({low:.3f} to {high:.3f}) on {PUBLISHED_CASES} cases, which is ±{(high - low) / 2:.3f}.
What the variance of Hanley and McNeil (1982) gives, by the share of malignant cases:

| malignant | half of the 95 % interval |
|---|---|
{chr(10).join(rows)}

None of these is as narrow as what was published.
"""


def _listed(values: np.ndarray) -> str:
    return ", ".join(f"{value:.3f}" for value in values)


if __name__ == "__main__":
    main()
