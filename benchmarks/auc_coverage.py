"""How often 95 % intervals of the AUC hold the true AUC: plain and logit DeLong, by cohort size.

Usage: .venv/bin/python benchmarks/auc_coverage.py [--runs 2000] [--seed 2026]

Scores are normal with equal variance in both classes, so that the true AUC is known in closed form.
"""

import argparse

import numpy as np
from scipy.stats import norm

from dgccl.stats import auroc_delong

SIZES = ((10, 20), (30, 60), (80, 80))
AREAS = (0.7, 0.8, 0.9, 0.95)


def coverage(area: float, sizes: tuple[int, int], *, method: str, runs: int, seed: int) -> float:
    rng = np.random.default_rng(seed)
    shift = np.sqrt(2.0) * norm.ppf(area)
    labels = np.repeat([1, 0], sizes)
    hits = 0
    for _ in range(runs):
        found = auroc_delong(labels, rng.normal(size=len(labels)) + shift * labels, method=method)
        hits += found.ci_low <= area <= found.ci_high
    return hits / runs


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=2026)
    options = parser.parse_args()
    print("| AUC | malignant + benign | plain DeLong | logit DeLong |")
    print("|---|---|---|---|")
    for area in AREAS:
        for sizes in SIZES:
            plain, logit = (
                coverage(area, sizes, method=method, runs=options.runs, seed=options.seed)
                for method in ("delong", "logit")
            )
            print(f"| {area} | {sizes[0]} + {sizes[1]} | {plain:.3f} | {logit:.3f} |", flush=True)


if __name__ == "__main__":
    main()
