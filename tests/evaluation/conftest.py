"""Run folders as training leaves them, made from scores whose right answers are known."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

Score = Callable[[pd.DataFrame, str], np.ndarray]
"""Scores of lesions (columns lesion_id, patient_id, y_true, fold, has_ct, has_pet) under a pattern: of class 1, (n,),
or of more than two classes a column each, (n, C)."""


def make_lesions(
    *, malignant: int = 40, benign: int = 40, per_patient: int = 1, folds: int = 4
) -> pd.DataFrame:
    """Lesions in alternation of class, `per_patient` neighbors of one class to a patient, patients dealt to folds."""
    labels = np.zeros(malignant + benign, dtype=np.int64)
    labels[:malignant] = 1
    patients = np.concatenate([np.arange(count) // per_patient for count in (malignant, benign)])
    offset = np.where(labels == 1, 0, -(-malignant // per_patient))
    ids = patients + offset
    return pd.DataFrame(
        {
            "lesion_id": [f"L{index:03d}" for index in range(len(labels))],
            "patient_id": [f"P{index:03d}" for index in ids],
            "y_true": labels,
            "fold": patients % folds,
            "has_ct": True,
            "has_pet": True,
        }
    )


def noisy_score(strength: float, *, seed: int) -> Score:
    """Scores with a given separation (standard deviations), half of it where a modality is withheld."""

    def score(lesions: pd.DataFrame, pattern: str) -> np.ndarray:
        noise = np.random.default_rng(seed).normal(size=len(lesions))
        shift = strength if pattern == "ct+pet" else 0.5 * strength
        return 1.0 / (1.0 + np.exp(-(noise + shift * (lesions["y_true"].to_numpy() - 0.5))))

    return score


def noisy_probabilities(strength: float, *, seed: int, classes: int = 3) -> Score:
    """As `noisy_score`, for several classes."""

    def score(lesions: pd.DataFrame, pattern: str) -> np.ndarray:
        noise = np.random.default_rng(seed).normal(size=(len(lesions), classes))
        shift = strength if pattern == "ct+pet" else 0.5 * strength
        powers = np.exp(noise + shift * np.eye(classes)[lesions["y_true"].to_numpy()])
        return powers / powers.sum(axis=1, keepdims=True)

    return score


def make_predictions(
    lesions: pd.DataFrame, scores: Mapping[str, Score], *, gated: tuple[str, ...] = ("dgccl",)
) -> pd.DataFrame:
    """Predictions of every model: test in a lesion's fold, validation in the fold before it."""
    folds = int(lesions["fold"].max()) + 1
    tables = []
    for model, score in scores.items():
        for pattern in ("ct+pet", "ct", "pet"):
            has = {
                "ct": lesions["has_ct"],
                "pet": lesions["has_pet"],
                "ct+pet": lesions["has_ct"] | lesions["has_pet"],
            }
            alone = model.removeprefix("single_")
            if alone in has and alone not in pattern.split("+"):
                continue
            chosen = lesions.loc[has[pattern] & has.get(alone, True)]
            shown = np.where(
                chosen["has_ct"] & chosen["has_pet"], "ct+pet", np.where(chosen["has_ct"], "ct", "pet")
            )
            weight = 0.3 + 0.4 * chosen["y_true"].to_numpy() + 0.001 * np.arange(len(chosen))
            table = pd.DataFrame(
                {
                    "lesion_id": chosen["lesion_id"],
                    "patient_id": chosen["patient_id"],
                    "site": "A",
                    "model": model,
                    "fold": chosen["fold"],
                    "split": "test",
                    "pattern": pattern,
                    "modalities_shown": shown if pattern == "ct+pet" else pattern,
                    "y_true": chosen["y_true"],
                }
            )
            given = score(chosen, pattern)
            if given.ndim == 1:
                table["y_score"] = given
            else:
                table[[f"y_score_{index}" for index in range(given.shape[1])]] = given
            whole = (table["modalities_shown"] == "ct+pet").to_numpy() & (model in gated)
            table["gate_pet"] = np.where(whole, weight, np.nan)
            table["gate_ct"] = 1.0 - table["gate_pet"]
            tables += [table, table.assign(split="validation", fold=(table["fold"] + 1) % folds)]
    return pd.concat(tables, ignore_index=True)


def make_folds(predictions: pd.DataFrame) -> pd.DataFrame:
    """The folds table that these predictions follow, with everything else in training."""
    chosen = predictions.loc[predictions["pattern"] == "ct+pet"]
    scored = chosen[["lesion_id", "patient_id", "fold", "split"]].drop_duplicates()
    everyone = scored[["lesion_id", "patient_id"]].drop_duplicates()
    rest = everyone.merge(scored[["fold"]].drop_duplicates(), how="cross")
    rest = rest.merge(scored, on=["lesion_id", "patient_id", "fold"], how="left")
    return pd.concat([scored, rest.loc[rest["split"].isna()].assign(split="train")], ignore_index=True)


def write_run(
    folder: Path,
    *,
    lesions: pd.DataFrame,
    scores: Mapping[str, Score],
    embeddings: Mapping[str, np.ndarray] | None,
    data_kind: str,
    class_names: tuple[str, ...],
) -> Path:
    """Write a run folder; without class names as runs of the first version left them."""
    folder.mkdir(parents=True, exist_ok=True)
    predictions = make_predictions(lesions, scores)
    predictions.to_parquet(folder / "predictions.parquet", index=False)
    make_folds(predictions).to_csv(folder / "folds.csv", index=False)
    config = {
        "modalities": {"ct": {}, "pet": {}},
        "models": list(scores),
        "training": {"folds": int(lesions["fold"].max()) + 1},
        "model": {"classes": len(class_names), "class_names": class_names} if class_names else {},
    }
    run = {
        "config_name": "made", "cohort_sha256": "0" * 64, "data_kind": data_kind, "seed": 3,
        "dgccl_version": "0.0.0", "command": "dgccl train", "started": "2026-01-01", "finished": "2026-01-02",
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "run.json").write_text(json.dumps(run), encoding="utf-8")
    if embeddings is not None:
        save_file(dict(embeddings), folder / "embeddings.safetensors")
        lesions[["lesion_id", "patient_id", "fold", "y_true"]].to_csv(folder / "embeddings.csv", index=False)
    return folder


class MakeRun(Protocol):
    """Makes a run folder; a number for a model's scores is their separation in standard deviations."""

    def __call__(
        self,
        *,
        scores: Mapping[str, Score | float] | None = None,
        edit: Callable[[pd.DataFrame], None] | None = None,
        embeddings: Callable[[pd.DataFrame], Mapping[str, np.ndarray]] | None = None,
        data_kind: str = "phantom",
        class_names: tuple[str, ...] = (),
        **lesions: int,
    ) -> Path: ...


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """A maker of run folders; `edit` changes the lesions before they are scored."""

    def make(
        *,
        scores: Mapping[str, Score | float] | None = None,
        edit: Callable[[pd.DataFrame], None] | None = None,
        embeddings: Callable[[pd.DataFrame], Mapping[str, np.ndarray]] | None = None,
        data_kind: str = "phantom",
        class_names: tuple[str, ...] = (),
        **lesions: int,
    ) -> Path:
        table = make_lesions(**lesions)
        if edit is not None:
            edit(table)
        chosen = {"dgccl": 2.0, "late_fusion": 1.4} if scores is None else scores
        make_score = noisy_probabilities if len(class_names) > 2 else noisy_score
        functions = {
            name: make_score(score, seed=seed) if isinstance(score, float) else score
            for seed, (name, score) in enumerate(chosen.items())
        }
        tensors = None if embeddings is None else embeddings(table)
        return write_run(
            tmp_path / "run",
            lesions=table,
            scores=functions,
            embeddings=tensors,
            data_kind=data_kind,
            class_names=class_names,
        )

    return make
