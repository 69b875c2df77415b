"""The scores of every finished job beside the best possible ones, lesion by lesion."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64

from dgccl.benchmark.settings import BenchmarkConfig
from dgccl.errors import TrainingError

LLR = {"ct": "llr_ct", "pet": "llr_pet", "ct+pet": "llr_both"}
"""Column of the exact log likelihood ratio of each pattern."""


@dataclass(frozen=True, eq=False)
class BenchmarkScores:
    """All that the tables are computed from.

    Attributes:
        config: the benchmark.
        lesions: test lesions of all seeds, in the order of the scores: `seed`, `label`, latents, `llr_*`.
        scores: per method and pattern (n,), log odds of class 1.
        upright: the same in the first pose alone.
        gates: per method (n, M), NaN without a gate, with every modality shown.
        facts: per method, one dict a seed: parameters, flops, training_s and the like.
    """

    config: BenchmarkConfig
    lesions: pd.DataFrame
    scores: dict[str, dict[str, Float64[np.ndarray, "n"]]]
    upright: dict[str, dict[str, Float64[np.ndarray, "n"]]]
    gates: dict[str, Float64[np.ndarray, "n modality"]]
    facts: dict[str, list[dict[str, Any]]]

    @cached_property
    def label(self) -> np.ndarray:
        """Recorded class of each lesion, (n,)."""
        return self.lesions["label"].to_numpy()

    @cached_property
    def seed(self) -> np.ndarray:
        """Seed that each lesion belongs to, (n,): scores are compared within a seed."""
        return self.lesions["seed"].to_numpy()

    @property
    def patterns(self) -> tuple[str, ...]:
        """All modalities, then fewer."""
        return tuple(LLR)[::-1]

    def ideal(self, pattern: str) -> Float64[np.ndarray, "n"]:
        """Exact log likelihood ratio on the latent truth that a pattern can show."""
        return self.lesions[LLR[pattern]].to_numpy()


def read_scores(jobs: Path, config: BenchmarkConfig, tests: dict[int, pd.DataFrame]) -> BenchmarkScores:
    """Read the scores of all jobs of a benchmark.

    Args:
        jobs: folder of the jobs.
        config: the benchmark.
        tests: per seed its test lesions.

    Raises:
        TrainingError: a job is missing, or its scores are of other lesions.
    """
    lesions = pd.concat([table.assign(seed=seed) for seed, table in tests.items()], ignore_index=True)
    scores: dict[str, dict[str, np.ndarray]] = {}
    upright: dict[str, dict[str, np.ndarray]] = {}
    gates: dict[str, np.ndarray] = {}
    facts: dict[str, list[dict[str, Any]]] = {}
    for method in config.methods:
        seeds = (config.data.large_seed,) if method.large else config.seeds
        folders = [jobs / f"{method.name}-{seed}" for seed in seeds]
        tables = pd.concat([_read(folder) for folder in folders], ignore_index=True)
        patterns = {str(name): rows for name, rows in tables.groupby("pattern", sort=False)}
        for name, rows in patterns.items():
            if not np.array_equal(rows["y_true"].to_numpy(), lesions["label"].to_numpy()):
                raise TrainingError(
                    "scores_of_other_lesions",
                    f"The scores of {method.name} ({name}) are not those of the benchmark's test lesions.",
                    remedy="Remove the folder of that job and call again.",
                )
        scores[method.name] = {name: rows["score"].to_numpy() for name, rows in patterns.items()}
        upright[method.name] = {name: rows["score_upright"].to_numpy() for name, rows in patterns.items()}
        columns = [f"gate_{name}" for name in config.experiment.modality_names]
        whole = patterns["+".join(config.experiment.modality_names)]
        gates[method.name] = whole[columns].to_numpy()
        facts[method.name] = [json.loads((folder / "job.json").read_text("utf-8")) for folder in folders]
    return BenchmarkScores(config, lesions, scores, upright, gates, facts)


def _read(folder: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(folder / "scores.parquet")
    except FileNotFoundError as error:
        raise TrainingError(
            "job_missing",
            f"The job {folder.name} is not finished.",
            remedy="Call `dgccl benchmark phantom` again: it goes on where it stopped.",
        ) from error
