"""How often comparisons reject what is true, and whether planned cases give the planned power.

Usage: .venv/bin/python benchmarks/comparison_size.py [--runs 2500] [--seed 2026] [--out FILE]

Scores are normal with one spread in both classes, so that true areas are known in closed form. Two models over folds
are linear discriminants on two disjoint sets of equally good features, fitted in each fold: on average over training
sets they are equally good, which is what a test over folds is asked. Writes the tables to a page.
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from scipy.stats import norm

from dgccl.errors import StatsError
from dgccl.stats import auroc, auroc_delong, delong_paired
from dgccl.stats.area_variance import AreaVariance
from dgccl.stats.folds import corrected_resampled_t, paired_t_over_folds
from dgccl.stats.mcnemar import mcnemar_exact, paired_proportion_difference
from dgccl.stats.non_inferiority import non_inferiority
from dgccl.stats.power import auroc_sample_size, paired_auroc_sample_size
from dgccl.stats.unpaired import delong_unpaired

OUT = Path(__file__).parent / "results" / "comparison_size.md"
VARIANCES: tuple[AreaVariance, ...] = ("obuchowski", "hanley_mcneil", "empirical")
Row = tuple[str, dict[str, float]]
Draw = Callable[[], dict[str, bool]]


def shares(draw: Draw, runs: int) -> dict[str, float]:
    """Share of the runs in which each test gives True; a test that is not defined in a run does not reject."""
    counts: dict[str, int] = {}
    for _ in range(runs):
        for name, hit in draw().items():
            counts[name] = counts.get(name, 0) + bool(hit)
    return {name: count / runs for name, count in counts.items()}


def pair_of_scores(
    labels: np.ndarray, areas: tuple[float, float], correlation: float, rng: np.random.Generator
) -> np.ndarray:
    mix = np.linalg.cholesky([[1.0, correlation], [correlation, 1.0]])
    shift = np.sqrt(2.0) * norm.ppf(areas)
    return rng.normal(size=(len(labels), 2)) @ mix.T + labels[:, None] * shift


def areas_of_cases(runs: int, rng: np.random.Generator) -> Iterator[Row]:
    """Two cohorts, and two scores on one, of independent cases."""
    for area in (0.7, 0.8, 0.9):
        for first, second in (((10, 20), (30, 60)), ((30, 60), (30, 60)), ((100, 200), (30, 60))):
            a, b = np.repeat([1, 0], first), np.repeat([1, 0], second)
            shift = np.sqrt(2.0) * norm.ppf(area)

            def draw(a: np.ndarray = a, b: np.ndarray = b, shift: float = shift) -> dict[str, bool]:
                scores = (rng.normal(size=len(y)) + shift * y for y in (a, b))
                found = delong_unpaired(a, next(scores), b, next(scores))
                normal = 2.0 * norm.sf(abs(found.t))
                return {"unpaired DeLong": found.p < 0.05, "the same, normal": normal < 0.05}

            cases = " and ".join(f"{m} + {n}" for m, n in (first, second))
            yield f"area {area}, {cases}", shares(draw, runs)


def pairs_of_cases(runs: int, rng: np.random.Generator) -> Iterator[Row]:
    for area in (0.7, 0.8, 0.9):
        for sizes in ((10, 20), (30, 60), (100, 200)):
            y = np.repeat([1, 0], sizes)

            def draw(y: np.ndarray = y, area: float = area) -> dict[str, bool]:
                scores = pair_of_scores(y, (area, area), 0.5, rng)
                return {"paired DeLong": delong_paired(y, scores[:, 0], scores[:, 1]).p < 0.05}

            yield f"area {area}, {sizes[0]} + {sizes[1]}", shares(draw, runs)


def lesions(patients: int, *, mixed: bool, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Patients with 1 to 4 lesions that share half of their variance; labels by lesion, or by patient."""
    patient = np.repeat(np.arange(patients), rng.integers(1, 5, patients))
    y = (rng.random(len(patient)) < 0.4).astype(int) if mixed else (patient % 5 < 2).astype(int)
    shared, own = rng.normal(size=(patients, 2))[patient], rng.normal(size=(len(patient), 2))
    return y, np.sqrt(0.5) * (shared + own) + 1.2 * y[:, None], patient


def areas_of_patients(runs: int, rng: np.random.Generator) -> Iterator[Row]:
    for mixed in (True, False):
        for patients in (20, 40, 150):

            def draw(mixed: bool = mixed, patients: int = patients) -> dict[str, bool]:
                y, scores, patient = lesions(patients, mixed=mixed, rng=rng)
                other, more, ids = lesions(patients, mixed=mixed, rng=rng)
                try:
                    pair = [delong_paired(y, *scores.T, patient=one).p for one in (None, patient)]
                    plain = delong_unpaired(y, scores[:, 0], other, more[:, 0]).p
                    two = delong_unpaired(
                        *(y, scores[:, 0], other, more[:, 0]), patient_a=patient, patient_b=ids + patients
                    ).p
                except StatsError:  # too few patients of a class
                    return {}
                names = ("paired, by lesion", "paired, by patient", "two cohorts, by lesion", "by patient")
                return {name: p < 0.05 for name, p in zip(names, (*pair, plain, two), strict=True)}

            kind = "labels by lesion" if mixed else "labels by patient"
            yield f"{patients} patients, {kind}", shares(draw, runs)


def calls(runs: int, rng: np.random.Generator) -> Iterator[Row]:
    for n in (30, 100, 300):
        for disagree in (0.1, 0.3):

            def draw(n: int = n, disagree: float = disagree) -> dict[str, bool]:
                b, c, _ = (int(x) for x in rng.multinomial(n, (disagree / 2, disagree / 2, 1 - disagree)))
                found, difference = mcnemar_exact(b, c), paired_proportion_difference(b, c, n)
                return {
                    "McNemar exact": found.p < 0.05,
                    "mid-p": found.mid_p < 0.05,
                    "Tango leaves out 0": not difference.ci_low <= 0.0 <= difference.ci_high,
                }

            yield f"{n} cases, {disagree:.0%} disagreements", shares(draw, runs)


def discriminant(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    means = [x[y == label].mean(axis=0) for label in (0, 1)]
    spread = np.cov((x - np.where(y[:, None] == 1, means[1], means[0])).T)
    return np.linalg.solve(spread, means[1] - means[0])


def tested_scores(x: np.ndarray, y: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Scores of the test cases by the discriminants of the first five features and of the others, (cases, 2)."""
    halves = (slice(0, 5), slice(5, 10))
    return np.stack([x[test, half] @ discriminant(x[~test, half], y[~test]) for half in halves], axis=1)


def folds(runs: int, rng: np.random.Generator) -> Iterator[Row]:
    """The last row draws test cases anew for each split, so that splits share test cases as well."""
    for n, k, again in (
        (100, 5, False),
        (100, 10, False),
        (300, 5, False),
        (300, 10, False),
        (100, 15, True),
    ):
        y, fold = np.arange(n) // (5 if again else k) % 2, np.arange(n) % k

        def draw(
            k: int = k, again: bool = again, y: np.ndarray = y, fold: np.ndarray = fold
        ) -> dict[str, bool]:
            x = rng.normal(size=(len(y), 10)) + 0.4 * y[:, None]
            scores, areas = np.empty((len(y), 2)), np.empty((2, k))
            for one in range(k):
                test = rng.permutation(np.arange(len(y)) % 5) == 0 if again else fold == one
                scores[test] = tested_scores(x, y, test)
                areas[:, one] = [auroc(y[test], side) for side in scores[test].T]
            share = 0.2 if again else 1 / k
            found = {
                "paired t": paired_t_over_folds(*areas).p < 0.05,
                "corrected t": corrected_resampled_t(*areas, test_fraction=share).p < 0.05,
            }
            if not again:
                found["paired DeLong by fold"] = delong_paired(y, *scores.T, stratum=fold).p < 0.05
            return found

        yield f"{n} cases, {k} {'random splits, 20 % tested' if again else 'folds'}", shares(draw, runs)


def at_the_margin(runs: int, rng: np.random.Generator) -> Iterator[Row]:
    for areas in ((0.75, 0.8), (0.85, 0.9)):
        for sizes in ((30, 60), (100, 200), (300, 600)):
            y = np.repeat([1, 0], sizes)

            def draw(y: np.ndarray = y, areas: tuple[float, float] = areas) -> dict[str, bool]:
                pair = delong_paired(y, *pair_of_scores(y, areas, 0.5, rng).T)
                found = non_inferiority(pair, areas[1] - areas[0])
                return {"called non-inferior": found.verdict in ("non_inferior", "superior")}

            yield f"areas {areas[0]} and {areas[1]}, {sizes[0]} + {sizes[1]}", shares(draw, runs)


def planned(runs: int, rng: np.random.Generator) -> Iterator[str]:
    """Power reached with the cases that each variance plans for 80 %."""
    for area, null, ratio in ((0.7, 0.5, 1.0), (0.8, 0.7, 2.0), (0.9, 0.8, 2.0)):
        for variance in VARIANCES:
            plan = auroc_sample_size(area, null=null, ratio=ratio, variance=variance)
            y = np.repeat([1, 0], (plan.positives, plan.negatives))
            shift = np.sqrt(2.0) * norm.ppf(area)
            hits = {"delong": 0, "logit": 0}
            for _ in range(runs):
                scores = rng.normal(size=len(y)) + shift * y
                for method in ("delong", "logit"):
                    hits[method] += auroc_delong(y, scores, method=method).ci_low > null
            found = " / ".join(f"{hits[method] / runs:.3f}" for method in hits)
            yield f"| area {area} against {null} | {variance} | {plan.positives} + {plan.negatives} | {found} |"
    for areas, correlation, margin in (
        ((0.8, 0.9), 0.5, None),
        ((0.7, 0.8), 0.3, None),
        ((0.9, 0.85), 0.7, None),
        ((0.85, 0.85), 0.6, 0.05),
    ):
        for variance in VARIANCES:
            plan = paired_auroc_sample_size(
                *areas,
                correlation_positive=correlation,
                correlation_negative=correlation,
                margin=margin,
                variance=variance,
            )
            y, wins = np.repeat([1, 0], (plan.positives, plan.negatives)), 0
            for _ in range(runs):
                pair = delong_paired(y, *pair_of_scores(y, areas, correlation, rng).T)
                wins += pair.p < 0.05 if margin is None else pair.ci_low > -margin
            name = f"areas {areas[0]} and {areas[1]}, correlation {correlation}"
            name += "" if margin is None else f", margin {margin}"
            yield f"| {name} | {variance} | {plan.positives} + {plan.negatives} | {wins / runs:.3f} |"


def table(rows: Iterator[Row]) -> str:
    lines: list[str] = []
    tests: list[str] = []
    for name, found in rows:
        if not lines:
            tests = list(found)
            lines += ["| | " + " | ".join(tests) + " |", "|---|" + "---|" * len(tests)]
        cells = [f"{found[test]:.3f}" if test in found else "" for test in tests]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
        print(lines[-1], flush=True)
    return "\n".join(lines)


SECTIONS: dict[str, tuple[Callable[[int, np.random.Generator], Iterator[Row]], str]] = {
    "Two cohorts of equal area": (
        areas_of_cases,
        "`delong_unpaired`, and what it would be with a normal distribution in the place of t.",
    ),
    "Two scores of equal area on the same cases": (
        pairs_of_cases,
        "`delong_paired`, correlation of the scores 0.5.",
    ),
    "Patients with 1 to 4 lesions": (
        areas_of_patients,
        "Lesions of a patient share half of their variance; with and without the patients given.",
    ),
    "Calls that are right equally often": (
        calls,
        "`mcnemar_exact`, and whether Tango's 95 % interval leaves out 0.",
    ),
    "Two learners that are equally good": (
        folds,
        "Linear discriminants on disjoint sets of five features of equal worth. The paired t test asks about the "
        "learners, and takes the folds as independent; paired DeLong asks about the models at hand, whose chance of "
        "training it does not count.",
    ),
    "Worse by exactly the margin": (
        at_the_margin,
        "`non_inferiority` of paired DeLong, a one-sided level of 2.5 %, correlation 0.5.",
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=2500)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    error = np.sqrt(0.05 * 0.95 / options.runs)
    page = [
        "# Size and power of the comparisons\n",
        f"Share of {options.runs:,} simulated studies in which a test rejects at 5 % although nothing differs "
        f"(standard error of a share of 0.05: {error:.4f}), seed {options.seed}. Normal scores; cases are positive + "
        "negative.\n",
        f"`python benchmarks/comparison_size.py --runs {options.runs} --seed {options.seed}`\n",
    ]
    for index, (title, (rows, text)) in enumerate(SECTIONS.items()):
        print(title, flush=True)
        page += [
            f"## {title}\n",
            text + "\n",
            table(rows(options.runs, np.random.default_rng([options.seed, index]))) + "\n",
        ]
    print("power", flush=True)
    lines = list(planned(options.runs // 2, np.random.default_rng([options.seed, len(SECTIONS)])))
    page += [
        "## Power reached with the cases planned for 80 %\n",
        f"{options.runs // 2:,} studies a row. For one area: share whose 95 % interval lies above the null, by the "
        "plain / the logit DeLong interval. `obuchowski` is the published formula, as in pROC.\n",
        "| plan | variance | cases | power reached |\n|---|---|---|---|\n" + "\n".join(lines),
    ]
    print("\n".join(lines))
    options.out.write_text("\n".join(page) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
