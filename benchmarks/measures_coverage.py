"""How often 95 % intervals of the measures of a binary test hold the truth; writes results/measures_coverage.md.

Usage: .venv/bin/python benchmarks/measures_coverage.py [--runs 10000] [--seed 2026] [--out FILE]

Cohorts of cases are drawn with a known prevalence, sensitivity and specificity, again where one has a single class;
case-control cohorts have fixed numbers of both classes. For the precision-recall area scores are normal with equal
variance in both classes, whose numbers are fixed, so that the true area is an integral.
"""

import argparse
import math
from functools import cache
from pathlib import Path

import numpy as np
from scipy.integrate import quad
from scipy.stats import norm

from dgccl.stats.estimate import Estimate
from dgccl.stats.measures import measures_of_counts
from dgccl.stats.precision_recall import auprc_interval

SIZES = (40, 100, 400)
POPULATIONS = (  # prevalence, sensitivity, specificity
    *((0.5, 0.8, 0.8), (0.3, 0.85, 0.9)),
    *((0.1, 0.9, 0.95), (0.1, 0.7, 0.7)),
)
NAMES = {
    "sensitivity": "sens",
    "specificity": "spec",
    "ppv": "PPV",
    "npv": "NPV",
    "accuracy": "acc",
    "balanced_accuracy": "bal acc",
    "lr_positive": "LR+",
    "lr_negative": "LR-",
    "f1": "F1",
    "mcc": "MCC",
    "prevalence": "prev",
}
PICKED = ((10, 20), (30, 60), (100, 200))
TESTED = 0.1
RANKED = ((10, 20), (30, 60), (80, 80), (20, 380), (300, 900))
AREAS = (0.7, 0.8, 0.9, 0.95)
Counts = tuple[int, int, int, int]


def truth(prevalence: float, sensitivity: float, specificity: float) -> dict[str, float]:
    tp, fn = prevalence * sensitivity, prevalence * (1 - sensitivity)
    fp, tn = (1 - prevalence) * (1 - specificity), (1 - prevalence) * specificity
    margins = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    return {
        "sensitivity": sensitivity,
        "specificity": specificity,
        "ppv": tp / (tp + fp),
        "npv": tn / (tn + fn),
        "accuracy": tp + tn,
        "balanced_accuracy": (sensitivity + specificity) / 2,
        "lr_positive": sensitivity / (1 - specificity),
        "lr_negative": (1 - sensitivity) / specificity,
        "f1": 2 * tp / (2 * tp + fp + fn),
        "mcc": (tp * tn - fp * fn) / math.sqrt(margins),
        "prevalence": prevalence,
    }


def holds(found: Estimate | None, value: float) -> float:
    """1 if the interval holds the value, 0 if not, NaN where the measure is not defined."""
    return math.nan if found is None else float(found.ci_low <= value <= found.ci_high)


def cohort_coverage(n: int, population: tuple[float, float, float], *, runs: int, seed: int) -> dict:
    """Coverage of each measure by method, and the share of cohorts in which some measure is not defined."""
    true, (prevalence, sensitivity, specificity) = truth(*population), population
    shares = (
        *(prevalence * sensitivity, (1 - prevalence) * (1 - specificity)),
        *(prevalence * (1 - sensitivity), (1 - prevalence) * specificity),
    )

    @cache
    def hits(counts: Counts, method: str) -> list[float]:
        tp, fp, fn, tn = counts
        found = measures_of_counts(tp=tp, fp=fp, fn=fn, tn=tn, method=method)
        return [holds(getattr(found, name), true[name]) for name in NAMES]

    rng, cohorts = np.random.default_rng(seed), []
    while len(cohorts) < runs:
        tp, fp, fn, tn = (int(count) for count in rng.multinomial(n, shares))
        if tp + fn and fp + tn:
            cohorts.append((tp, fp, fn, tn))
    result = {}
    for method in ("wilson", "clopper_pearson"):
        table = np.array([hits(counts, method) for counts in cohorts])
        result[method] = np.nanmean(table, axis=0)
    result["undefined"] = float(np.isnan(table).any(axis=1).mean())
    return result


def logit_holds(hits: int, own: int, alarms: int, other: int, odds: float, value: float) -> float:
    """Mercaldo's logit interval of a predictive value at given odds; with an empty cell there is none (NaN)."""
    if hits == 0 or alarms == 0:
        return math.nan
    center = math.log(hits / own / (alarms / other) * odds)
    error = math.sqrt(1 / hits - 1 / own + 1 / alarms - 1 / other)
    return float(abs(center - math.log(value / (1 - value))) <= norm.isf(0.025) * error)


def picked_coverage(
    sizes: tuple[int, int], rates: tuple[float, float], *, runs: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Coverage of our PPV and NPV at a prevalence and of the logit ones, and how often they do not exist."""
    true, odds, (positives, negatives) = truth(TESTED, *rates), TESTED / (1 - TESTED), sizes

    @cache
    def hits(tp: int, tn: int) -> list[float]:
        fp, fn = negatives - tn, positives - tp
        found = measures_of_counts(tp=tp, fp=fp, fn=fn, tn=tn, prevalence=TESTED)
        return [
            holds(found.ppv, true["ppv"]),
            holds(found.npv, true["npv"]),
            logit_holds(tp, positives, fp, negatives, odds, true["ppv"]),
            logit_holds(tn, negatives, fn, positives, 1 / odds, true["npv"]),
        ]

    rng = np.random.default_rng(seed)
    drawn = [rng.binomial(size, rate, runs).tolist() for size, rate in zip(sizes, rates, strict=True)]
    table = np.array([hits(tp, tn) for tp, tn in zip(*drawn, strict=True)])
    return np.nanmean(table, axis=0), np.isnan(table).mean(axis=0)


def true_auprc(shift: float, share: float) -> float:
    def precision(at: float) -> float:
        return share * norm.sf(at, shift) / (share * norm.sf(at, shift) + (1 - share) * norm.sf(at))

    return quad(
        lambda at: precision(at) * norm.pdf(at, shift), -9.0, shift + 9.0, points=[0.0, shift], limit=200
    )[0]


def ranked_coverage(sizes: tuple[int, int], area: float, *, runs: int, seed: int) -> tuple[float, ...]:
    """True precision-recall area, mean error of the estimate, coverage, mean half-width over 1.96 SD."""
    rng, shift, labels = np.random.default_rng(seed), math.sqrt(2) * norm.ppf(area), np.repeat([1, 0], sizes)
    true = true_auprc(shift, sizes[0] / sum(sizes))
    found = [auprc_interval(labels, rng.normal(size=len(labels)) + shift * labels) for _ in range(runs)]
    values = np.array([one.estimate for one in found])
    half = np.array([(one.ci_high - one.ci_low) / 2 for one in found])
    coverage = float(np.mean([holds(one, true) for one in found]))
    return true, float(values.mean() - true), coverage, float(half.mean() / (norm.isf(0.025) * values.std()))


def percent(rate: float, *, low: float = 0.94, high: float = 0.96) -> str:
    """A rate in percent, in bold outside the limits."""
    text = f"{100 * rate:.1f}"
    return text if low <= round(rate, 3) <= high else f"**{text}**"


def rows(header: list[str], lines: list[list[str]]) -> str:
    table = [header, ["---"] * len(header), *lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in table)


def cohort_tables(runs: int, seed: int) -> list[str]:
    settings = [(n, population) for population in POPULATIONS for n in SIZES]
    found = [cohort_coverage(n, population, runs=runs, seed=seed) for n, population in settings]
    first = [[*map(str, population), str(n)] for n, population in settings]
    header, tables = ["prevalence", "true sens", "true spec", "cases", *NAMES.values()], []
    for method, high in (("wilson", 0.96), ("clopper_pearson", 1.0)):
        lines = [
            [*start, *(percent(rate, high=high) for rate in one[method])]
            for start, one in zip(first, found, strict=True)
        ]
        tables.append((method, lines))
    wilson = [[*line, f"{100 * one['undefined']:.1f}"] for line, one in zip(tables[0][1], found, strict=True)]
    return [rows([*header, "not defined"], wilson), rows(header, tables[1][1])]


def picked_table(runs: int, seed: int) -> str:
    lines = []
    for _, *rates in POPULATIONS:
        for sizes in PICKED:
            coverage, none = picked_coverage(sizes, (rates[0], rates[1]), runs=runs, seed=seed)
            pairs = zip(coverage, none, strict=True)
            shown = [text for rate, gone in pairs for text in (percent(rate), f"{100 * gone:.1f}")]
            lines.append([*map(str, rates), f"{sizes[0]} + {sizes[1]}", *shown])
    figures = [text for name in ("PPV", "NPV", "PPV, logit", "NPV, logit") for text in (name, "none")]
    return rows(["true sens", "true spec", "positive + negative", *figures], lines)


def ranked_table(runs: int, seed: int) -> str:
    lines = []
    for sizes in RANKED:
        for area in AREAS:
            true, error, coverage, width = ranked_coverage(sizes, area, runs=runs, seed=seed)
            figures = [f"{true:.3f}", f"{error:+.3f}", percent(coverage), f"{width:.2f}"]
            lines.append([f"{sizes[0]} + {sizes[1]}", str(area), *figures])
    return rows(
        ["positive + negative", "AUC", "true area", "mean error", "coverage", "width over needed"], lines
    )


PAGE = """# Coverage of the measures of a binary test

Share (in %) of simulated cohorts whose 95 % interval holds the truth. {runs} cohorts a line ({ranked} in the last
table), seed {seed}; the standard error of a share is {error:.1f} points ({ranked_error:.1f}).
**Bold**: outside 94 to 96 %.

`python benchmarks/measures_coverage.py --runs {runs} --seed {seed}`

## Cohorts of patients as they come: `diagnostic_measures(method="wilson")`

{wilson}

*not defined*: cohorts in which some measure is None (no case is called positive, or none negative); shares are of the
others.

Theory promises 95 % in the limit. In a small cohort coverage jumps up and down, since a proportion of k trials takes
only k + 1 values: with 40 cases of which a tenth are positive, sensitivity has about four trials. Wilson's interval of
a rate near 1 or 0 dips below 94 % at some combinations of rate and cases even at 400 cases, which is why accuracy, NPV
and prevalence are bold there; `clopper_pearson` does not dip. MCC's interval is a normal approximation on Fisher's z:
with ten positive cases or fewer and a weak test it is too narrow (last lines).

## The same with `method="clopper_pearson"`

{exact}

Here only too little is bold: the exact interval promises 95 % or more for proportions, given their trials. Balanced
accuracy and F1 take their ends from exact intervals and are wide for the same reason. Likelihood ratios and MCC do
not depend on the method, except MCC of calls that are all right or all wrong.

## Cases picked by class: PPV and NPV at a given prevalence of {tested}

{picked}

*none*: cohorts without that interval; shares are of the others. *logit*: the interval of Mercaldo, Lau and Zhou (2007),
which needs two cells that are not empty. Ours carries Koopman's interval of the likelihood ratio over and exists
wherever the value does. With 10 + 20 cases and rates near 1 most cohorts have an empty cell, and coverage jumps.

## Area under the precision-recall curve: `auprc_interval`

{ranked_table}

*width over needed*: mean half-width over 1.96 standard deviations of the estimate. Theory promises nothing here: the
logit interval of Boyd, Eng and Page (2013) takes average precision as a proportion of the positive cases, which is not
how it varies. In all of these cohorts it is too wide, hence holds the truth too often, at any size. Average
precision itself comes out too high in small cohorts. The interval is cautious, not sharp.
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "results" / "measures_coverage.md"
    )
    options = parser.parse_args()
    runs, seed = options.runs, options.seed
    ranked = max(runs // 5, min(runs, 2000))
    wilson, exact = cohort_tables(runs, seed)
    page = PAGE.format(
        runs=runs,
        seed=seed,
        ranked=ranked,
        tested=TESTED,
        error=100 * math.sqrt(0.95 * 0.05 / runs),
        ranked_error=100 * math.sqrt(0.95 * 0.05 / ranked),
        wilson=wilson,
        exact=exact,
        picked=picked_table(runs, seed),
        ranked_table=ranked_table(ranked, seed),
    )
    options.out.write_text(page, encoding="utf-8")
    print(f"seed {seed}, {runs} cohorts a line")
    print(page)


if __name__ == "__main__":
    main()
