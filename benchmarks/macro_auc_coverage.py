"""How often 95 % intervals of the macro AUC of three classes hold the true one, and how often its paired test errs.

Usage: .venv/bin/python benchmarks/macro_auc_coverage.py [--runs 2000] [--seed 2026]

Scores are normal with a shift in the column of a case's class, so that every one-versus-rest AUC, and their mean, is
known in closed form; the noise of the columns is correlated. Classes are drawn with shares 0.5, 0.3 and 0.2, again
where one has fewer than 2 cases. The paired test compares two scores that are equally good, at a level of 5 %.
"""

import argparse

import numpy as np
from scipy.stats import norm

from dgccl.stats import auroc_macro_delong, delong_paired_macro

SIZES = (40, 100, 250)
AREAS = (0.7, 0.8, 0.9, 0.95)
CORRELATIONS = (-0.4, 0.5)
SHARES = (0.5, 0.3, 0.2)


def draw_labels(n: int, rng: np.random.Generator) -> np.ndarray:
    while True:
        labels = rng.choice(3, size=n, p=SHARES)
        if np.bincount(labels, minlength=3).min() >= 2:
            return labels


def rates(area: float, n: int, *, correlation: float, runs: int, seed: int) -> tuple[float, float, float]:
    """Share of runs whose plain and whose logit interval hold the area, and in which the paired test rejects."""
    rng = np.random.default_rng(seed)
    shift = np.sqrt(2.0) * norm.ppf(area)
    mix = np.linalg.cholesky(np.full((3, 3), correlation) + (1.0 - correlation) * np.eye(3))
    hits, rejected = {"delong": 0, "logit": 0}, 0
    for _ in range(runs):
        labels = draw_labels(n, rng)
        a, b = (rng.normal(size=(n, 3)) @ mix.T + shift * np.eye(3)[labels] for _ in range(2))
        for method in hits:
            found = auroc_macro_delong(labels, a, method=method)
            hits[method] += found.ci_low <= area <= found.ci_high
        rejected += delong_paired_macro(labels, a, b).p < 0.05
    return hits["delong"] / runs, hits["logit"] / runs, rejected / runs


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=2026)
    options = parser.parse_args()
    print("| macro AUC | lesions | correlation | plain DeLong | logit DeLong | test rejects |")
    print("|---|---|---|---|---|---|")
    for area in AREAS:
        for n in SIZES:
            for correlation in CORRELATIONS:
                found = rates(area, n, correlation=correlation, runs=options.runs, seed=options.seed)
                numbers = " | ".join(f"{rate:.3f}" for rate in found)
                print(f"| {area} | {n} | {correlation} | {numbers} |", flush=True)


if __name__ == "__main__":
    main()
