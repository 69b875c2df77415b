"""How often bootstrap intervals of the AUC hold the true AUC, and how often permutation tests reject a true null.

Usage, each part a few minutes on one core, printing its part of the page:
    for part in cases patients differences tests; do .venv/bin/python benchmarks/bootstrap_coverage.py $part; done \\
        > benchmarks/results/bootstrap_coverage.md

Scores are normal, so that the true AUC is known in closed form. A patient has three lesions, each positive with a
chance of 0.4; its positive lesions share an effect and so do its negative ones (correlation 0.5), but not both with
each other, so that the AUC within a patient is that between patients.
"""

import argparse
import os
from collections.abc import Callable, Iterator
from functools import partial

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from scipy.stats import norm

from dgccl.errors import StatsError
from dgccl.stats import Estimate, auroc_delong, delong_paired
from dgccl.stats.bootstrap_auroc import auroc_bootstrap, auroc_difference_bootstrap
from dgccl.stats.permutation import permutation_test_paired
from dgccl.stats.permutation_groups import permutation_test_unpaired

SIZES = ((10, 20), (30, 60), (80, 80))
PATIENTS = (12, 40, 120)
AREAS = (0.8, 0.95)
METHODS = ("percentile", "bca")
Result = list[float | None]
Row = tuple[tuple[str, ...], list[Result]]
REPLICATES = 1000
MORE = 20_000  # where BCa asks for more
INTRODUCTION = """# Coverage of the bootstrap and level of the permutation tests

95 % intervals from {replicates} replicates (BCa: {more} where it asks for more), tests at 5 %; {runs} simulated cohorts
a row, so that a share of 0.95 has a standard error of {error:.3f}; seed {seed}.
Theory promises 0.95 in large samples only; (!) marks where it is missed by more than 0.01.

    for part in cases patients differences tests; do python benchmarks/bootstrap_coverage.py $part; done \\
        > benchmarks/results/bootstrap_coverage.md
"""


def shift(area: float, spread: float = 1.0) -> float:
    """Mean of positive scores with this standard deviation, beside standard normal negative ones."""
    return float(np.sqrt(1.0 + spread**2) * norm.ppf(area))


def lesions(patients: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Labels and patients, with both classes in at least two patients."""
    patient = np.repeat(np.arange(patients), 3)
    while True:
        labels = (rng.random(3 * patients) < 0.4).astype(int)
        if min(len(np.unique(patient[labels == one])) for one in (0, 1)) > 1:
            return labels, patient


def noise(labels: np.ndarray, patient: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    effect = rng.normal(size=(2, int(patient.max()) + 1))
    return np.sqrt(0.5) * (effect[labels, patient] + rng.normal(size=len(labels)))


def holds(area: float, interval: Estimate) -> float:
    return float(interval.ci_low <= area <= interval.ci_high)


def drawn_holds(area: float, interval: Callable[..., Estimate]) -> float | None:
    """1 or 0 as the interval holds the area or not; None where it is refused."""
    for replicates in (REPLICATES, MORE):
        try:
            return holds(area, interval(replicates=replicates))
        except StatsError as error:
            if error.code != "too_few_replicates":
                return None
    return None


def print_table(columns: list[str], rows: Iterator[Row], *, nominal: float) -> None:
    """One line a row of the means of its results; those further than 0.01 from nominal are marked."""
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for name, results in rows:
        cells = []
        for index in range(len(results[0])):
            given = [result[index] for result in results if result[index] is not None]
            refused, found = 1.0 - len(given) / len(results), float(np.mean(given))
            mark = "" if abs(found - nominal) <= 0.01 else " (!)"
            cells.append(f"{found:.3f}{mark}" + (f", {refused:.2%} refused" if refused else ""))
        print(f"| {' | '.join([*name, *cells])} |", flush=True)
    print(f"\n(!): not within 0.01 of {nominal}.")


def cases(runs: int, seed: int) -> None:
    error = float(np.sqrt(0.95 * 0.05 / runs))
    print(INTRODUCTION.format(replicates=REPLICATES, more=MORE, runs=runs, seed=seed, error=error))
    print("## Independent cases\n")
    columns = ["percentile", "BCa", "percentile within classes", "BCa within classes", "logit DeLong"]
    rows = (
        ((f"{sizes[0]} + {sizes[1]}", str(area)), one_size(sizes, area, runs=runs, seed=seed))
        for area in AREAS
        for sizes in SIZES
    )
    print_table(["positive + negative", "AUC", *columns], rows, nominal=0.95)


def one_size(sizes: tuple[int, int], area: float, *, runs: int, seed: int) -> list[Result]:
    rng, labels, results = np.random.default_rng(seed), np.repeat([1, 0], sizes), []
    for run in range(runs):
        score = rng.normal(size=len(labels)) + shift(area) * labels
        result = [
            drawn_holds(
                area, partial(auroc_bootstrap, labels, score, method=method, by_class=within, seed=run)
            )
            for within in (False, True)
            for method in METHODS
        ]
        results.append([*result, holds(area, auroc_delong(labels, score, method="logit"))])
    return results


def patients(runs: int, seed: int) -> None:
    print("\n## Patients of three lesions\n")
    columns = [
        *("percentile by patient", "BCa by patient"),
        *("percentile by lesion (wrong)", "BCa by lesion (wrong)", "logit DeLong by patient"),
    ]
    rows = (
        ((str(count), str(area)), one_count(count, area, runs=runs, seed=seed))
        for area in AREAS
        for count in PATIENTS
    )
    print_table(["patients", "AUC", *columns], rows, nominal=0.95)


def one_count(count: int, area: float, *, runs: int, seed: int) -> list[Result]:
    rng, results = np.random.default_rng(seed), []
    for run in range(runs):
        labels, patient = lesions(count, rng)
        score = noise(labels, patient, rng) + shift(area) * labels
        result = [
            drawn_holds(area, partial(auroc_bootstrap, labels, score, method=method, patient=ids, seed=run))
            for ids in (patient, None)
            for method in METHODS
        ]
        results.append([*result, holds(area, auroc_delong(labels, score, patient=patient, method="logit"))])
    return results


def differences(runs: int, seed: int) -> None:
    print("\n## Difference of two scores of the same cases, the true one 0\n")
    rows = (
        ((f"{sizes[0]} + {sizes[1]}", str(area)), one_pair(sizes, area, runs=runs, seed=seed))
        for area in AREAS
        for sizes in SIZES
    )
    print_table(["positive + negative", "AUC", "percentile", "BCa", "DeLong"], rows, nominal=0.95)


def one_pair(sizes: tuple[int, int], area: float, *, runs: int, seed: int) -> list[Result]:
    rng, labels, results = np.random.default_rng(seed), np.repeat([1, 0], sizes), []
    for run in range(runs):
        a, b = two_scores(labels, area, rng)
        draw = partial(auroc_difference_bootstrap, labels, a, b, seed=run)
        result = [drawn_holds(0.0, partial(draw, method=method)) for method in METHODS]
        test = delong_paired(labels, a, b)
        results.append([*result, float(test.ci_low <= 0.0 <= test.ci_high)])
    return results


def two_scores(labels: np.ndarray, area: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    common = rng.normal(size=len(labels))
    a, b = (np.sqrt(0.5) * (common + rng.normal(size=len(labels))) for _ in range(2))
    return a + shift(area) * labels, b + shift(area) * labels


def paired(sizes: tuple[int, int], spread: float, rng: np.random.Generator, seed: int) -> Result:
    labels = np.repeat([1, 0], sizes)
    common = rng.normal(size=len(labels))
    a, b = (np.sqrt(0.5) * (common + rng.normal(size=len(labels))) for _ in range(2))
    a, b = a + shift(0.8) * labels, np.where(labels == 1, spread * b + shift(0.8, spread), b)
    return [
        float(permutation_test_paired(labels, a, b, seed=seed).p <= 0.05),
        float(delong_paired(labels, a, b).p <= 0.05),
    ]


def paired_by_patient(count: int, rng: np.random.Generator, seed: int) -> Result:
    labels, patient = lesions(count, rng)
    common = noise(labels, patient, rng)
    a, b = (np.sqrt(0.5) * (common + noise(labels, patient, rng)) + shift(0.8) * labels for _ in range(2))
    return [
        float(permutation_test_paired(labels, a, b, patient=patient, seed=seed).p <= 0.05),
        float(delong_paired(labels, a, b, patient=patient).p <= 0.05),
    ]


def unpaired(sizes: tuple[int, int], spread: float, rng: np.random.Generator, seed: int) -> Result:
    """One group of these sizes, another of half as many positive and a quarter as many negative cases."""
    smaller = (sizes[0] // 2, sizes[1] // 4)
    labels = np.concatenate([np.repeat([1, 0], sizes), np.repeat([1, 0], smaller)])
    group = np.repeat([0, 1], [sum(sizes), sum(smaller)])
    score = rng.normal(size=len(labels))
    own = np.where(group == 1, spread, 1.0)
    means = np.where(group == 1, shift(0.8, spread), shift(0.8))
    score = np.where(labels == 1, own * score + means, score)
    one, other = (auroc_delong(labels[group == index], score[group == index]) for index in (0, 1))
    error = np.hypot(one.ci_high - one.ci_low, other.ci_high - other.ci_low) / (2 * norm.isf(0.025))
    test = permutation_test_unpaired(labels, score, group=group, replicates=999, seed=seed)
    return [float(test.p <= 0.05), float(abs(one.estimate - other.estimate) > norm.isf(0.025) * error)]


def test_rows(runs: int, seed: int) -> Iterator[Row]:
    for name, draw in (("two scores", paired), ("two groups", unpaired)):
        for spread in (1.0, 0.3):
            for sizes in SIZES:
                rng = np.random.default_rng(seed)
                results = [draw(sizes, spread, rng, run) for run in range(runs)]
                yield (name, str(spread), f"{sizes[0]} + {sizes[1]}"), results
    for count in PATIENTS:
        rng = np.random.default_rng(seed)
        results = [paired_by_patient(count, rng, run) for run in range(runs)]
        yield ("two scores by patient", "1.0", f"{count} patients"), results


def tests(runs: int, seed: int) -> None:
    print("\n## Tests: share of runs that reject equal areas of 0.8\n")
    print(
        "Spread: standard deviation of the positive scores of the second score or group, 1.0 in the first. At 1.0 the\n"
        "null hypothesis of the permutation tests holds; at 0.3 only the areas are equal.\n"
    )
    columns = ["comparison", "spread", "positive + negative", "permutation", "DeLong"]
    print_table(columns, test_rows(runs, seed), nominal=0.05)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=("cases", "patients", "differences", "tests"))
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=2026)
    options = parser.parse_args()
    parts = {"cases": cases, "patients": patients, "differences": differences, "tests": tests}
    parts[options.part](options.runs, options.seed)


if __name__ == "__main__":
    main()
