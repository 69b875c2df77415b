"""Speed of the statistics on large samples, beside a plain loop: clustered bootstrap, paired DeLong, permutation.

Usage: .venv/bin/python benchmarks/stats_speed.py [--out benchmarks/results/stats_speed.md] [--seed 2026]

The loop draws patients, joins the index lists of their cases and calls sklearn.metrics.roc_auc_score. It is timed on
fewer replicates and scaled up; both are timed in one run on the same cases. CPU time is that of this process; wall
time is longer where other work shares the machine.
"""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from sklearn.metrics import roc_auc_score

from dgccl.stats import delong_paired
from dgccl.stats.bootstrap_auroc import auroc_bootstrap, auroc_difference_bootstrap
from dgccl.stats.permutation import permutation_test_paired

CASES = 100_000
PATIENTS = 40_000
REPLICATES = 2000
LOOPED = 40


def clocked(call: Callable[[], object]) -> tuple[float, float]:
    """CPU and wall seconds of a call."""
    cpu, wall = time.process_time(), time.perf_counter()
    call()
    return time.process_time() - cpu, time.perf_counter() - wall


def sample(cases: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    y = (rng.random(cases) < 0.3).astype(int)
    common = rng.normal(size=cases)
    a, b = (common + rng.normal(size=cases) + y for _ in range(2))
    return y, a, b


def plain_loop(y: np.ndarray, score: np.ndarray, lists: list[np.ndarray], rng: np.random.Generator) -> None:
    for _ in range(LOOPED):
        drawn = rng.integers(0, len(lists), size=len(lists))
        index = np.concatenate([lists[patient] for patient in drawn])
        roc_auc_score(y[index], score[index])


def timings(seed: int) -> list[tuple[str, float, float]]:
    rng = np.random.default_rng(seed)
    y, a, b = sample(CASES, rng)
    patient = np.unique(rng.integers(0, PATIENTS, size=CASES), return_inverse=True)[1]
    lists = np.split(np.argsort(patient, kind="stable"), np.cumsum(np.bincount(patient))[:-1])
    draws = {"patient": patient, "replicates": REPLICATES, "seed": seed}
    looped = clocked(lambda: plain_loop(y, a, lists, rng))
    scale = REPLICATES / LOOPED
    rows = [
        (
            f"loop over roc_auc_score, {LOOPED} replicates scaled to {REPLICATES}",
            looped[0] * scale,
            looped[1] * scale,
        )
    ]
    calls: dict[str, Callable[[], object]] = {
        f"auroc_bootstrap, percentile, {REPLICATES} replicates": lambda: auroc_bootstrap(y, a, **draws),
        f"auroc_bootstrap, bca, {REPLICATES} replicates": lambda: auroc_bootstrap(
            y, a, method="bca", **draws
        ),
        f"auroc_difference_bootstrap, bca, {REPLICATES} replicates": lambda: auroc_difference_bootstrap(
            y, a, b, method="bca", **draws
        ),
        "permutation_test_paired by patient, 9999 arrangements": lambda: permutation_test_paired(
            y, a, b, patient=patient, seed=seed
        ),
    }
    rows += [(name, *clocked(call)) for name, call in calls.items()]
    y, a, b = sample(1_000_000, rng)
    return [*rows, ("delong_paired, 1,000,000 cases", *clocked(lambda: delong_paired(y, a, b)))]


def page(rows: list[tuple[str, float, float]], seed: int) -> str:
    (_, loop_cpu, loop_wall), (_, cpu, wall), delong = rows[0], rows[1], rows[-1]
    lines = [
        "# Speed of the statistics",
        "",
        f"{CASES:,} cases of {PATIENTS:,} patients unless the row says otherwise; one process, one thread, on a "
        f"machine with a load average of {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores.",
        "",
        f"`python benchmarks/stats_speed.py --seed {seed}`",
        "",
        "| what | CPU s | wall s |",
        "|---|---|---|",
        *(f"| {name} | {one:.2f} | {other:.2f} |" for name, one, other in rows),
        "",
        f"The clustered bootstrap of an AUC is {loop_cpu / cpu:.0f} times as fast as the loop by CPU time and "
        f"{loop_wall / wall:.0f} times by wall time (bar: 20). Paired DeLong on a million cases takes "
        f"{delong[1]:.2f} s of CPU and {delong[2]:.2f} s of wall time (bar: 2 s).",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/stats_speed.md"))
    parser.add_argument("--seed", type=int, default=2026)
    options = parser.parse_args()
    text = page(timings(options.seed), options.seed)
    options.out.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
