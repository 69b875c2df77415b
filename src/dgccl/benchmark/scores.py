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
from dgccl.explain.gate_meaning import GateMeaning, gate_meaning
from dgccl.explain.shapley import coalitions, shapley_values
from dgccl.phantom.law import View
from dgccl.phantom.observer import surviving_log_likelihood_ratio

GATE_DRAWS = 200
"""Draws of the bootstrap behind the intervals of what a gate means, on some ten thousand lesions."""

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
        """Exact log likelihood ratio on the latent truth that the images of a pattern can show.

        To PET it grants, beside uptake and size, the share of the lesion that takes up FDG and the lobes of its
        outline, since PET images show something of both; without these it would not bound what PET can say.
        """
        if pattern != "pet":
            return self.lesions[LLR[pattern]].to_numpy()
        return self.surviving(pattern, noise_scale=0.0)

    def surviving(self, pattern: str, *, noise_scale: float = 1.0) -> Float64[np.ndarray, "n"]:
        """The same ratio where density and uptake are granted only as blur and noise leave them."""
        view: View = "both" if pattern == self.patterns[0] else "ct" if pattern == "ct" else "pet"
        rng = np.random.default_rng(0)
        return surviving_log_likelihood_ratio(
            self.lesions, view, rng=rng, noise_scale=noise_scale, lobes_in_pet=True
        )


def meaning_of_gate(scores: BenchmarkScores, method: str) -> GateMeaning | None:
    """Gate weights of a method beside each modality's exact Shapley share of the log odds; None without a gate.

    With nothing shown a method is worth even odds, since both classes are drawn alike often.

    Args:
        scores: of the benchmark.
        method: its name; a method without a gate, or that judges no modality alone, has no answer.
    """
    names, own = scores.config.experiment.modality_names, scores.scores[method]
    gates = scores.gates[method]
    if np.isnan(gates).any() or len(own) < 2 ** len(names) - 1:
        return None
    worth = [np.zeros(len(gates))]
    for members in coalitions(len(names))[1:]:
        worth.append(own["+".join(name for name, shown in zip(names, members, strict=True) if shown)])
    shares = shapley_values(np.stack(worth, axis=1))
    table = pd.DataFrame({"fold": scores.seed})
    for index, name in enumerate(names):
        table[f"gate_{name}"], table[f"shapley_{name}"] = gates[:, index], shares[:, index]
    return gate_meaning(table, draws=GATE_DRAWS)


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
