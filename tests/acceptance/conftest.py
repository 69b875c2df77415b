"""Runs whose scores and cohorts are known: a run folder as training leaves it, beside a cohort with tiny arrays."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save
from scipy.special import expit

from dgccl.acceptance import GateResult, Gates
from dgccl.acceptance.evidence import open_evidence
from dgccl.acceptance.judge import judge
from dgccl.cohort import LESION_COLUMNS, QC_COLUMNS

from ..evaluation.conftest import Score, make_folds, make_lesions, make_predictions, noisy_probabilities

EditTable = Callable[[pd.DataFrame], pd.DataFrame | None]
"""Changes a table in place, or returns another."""


def separated(shifts: float | Mapping[str, float], *, seed: int, sharpness: float = 1.0) -> Score:
    """Probabilities of two normal classes, this many standard deviations apart under each pattern.

    They are the true ones at a sharpness of 1, and their calibration slope is 1 / sharpness.
    """

    def score(lesions: pd.DataFrame, pattern: str) -> np.ndarray:
        shift = shifts if isinstance(shifts, float) else shifts[pattern]
        # By lesion, so that it is the same noise whichever lesions are asked for.
        noise = [np.random.default_rng((seed, int(name[1:]))).normal() for name in lesions["lesion_id"]]
        x = np.array(noise) + shift * (lesions["y_true"].to_numpy() - 0.5)
        return expit(sharpness * shift * x)

    return score


def cohort_table(lesions: pd.DataFrame) -> pd.DataFrame:
    """A lesion table in which nothing but the images tells the class: sites and scanners are dealt alike to both."""
    rng = np.random.default_rng(5)
    place = lesions.groupby("y_true").cumcount().to_numpy()
    step = place // (int(lesions["fold"].max()) + 1)
    table = pd.DataFrame(dict.fromkeys(LESION_COLUMNS, ""), index=lesions.index)
    return table.assign(
        lesion_id=lesions["lesion_id"],
        patient_id=lesions["patient_id"],
        label=lesions["y_true"],
        site=np.array(["north", "south", "west"])[step % 3],
        scanner=np.array(["one", "two"])[step // 3 % 2],
        manufacturer="maker",
        sex=np.array(["F", "M"])[place % 2],
        age_years=rng.integers(40, 80, len(lesions)),
        diameter_mm=rng.uniform(5, 30, len(lesions)).round(2),
        uptake_time_min=rng.normal(60, 5, len(lesions)).round(2),
        ct_slice_spacing_mm=1.0,
        ct_pixel_spacing_mm=0.7,
        pet_slice_spacing_mm=4.0,
        pet_pixel_spacing_mm=4.0,
        has_ct=lesions["has_ct"],
        has_pet=lesions["has_pet"],
        box_mm=64.0,
        ct_spacing_mm=8.0,
        pet_spacing_mm=16.0,
    )


def tiny_arrays(index: int, *, has_ct: bool, has_pet: bool) -> dict[str, np.ndarray]:
    """Arrays of one lesion, of noise."""
    rng = np.random.default_rng((9, index))
    tensors: dict[str, np.ndarray] = {}
    if has_ct:
        tensors["ct_hu"] = rng.integers(-900, 100, (8, 8, 8)).astype(np.int16)
        tensors["mask_ct"] = np.ones((8, 8, 8), np.uint8)
    if has_pet:
        tensors["suv_bw"] = rng.gamma(2.0, 1.0, (4, 4, 4)).astype(np.float32)
        tensors["mask_pet"] = np.ones((4, 4, 4), np.uint8)
    return tensors


def write_cohort(
    folder: Path, table: pd.DataFrame, *, arrays: Callable[[dict], None] | None, data_kind: str
) -> str:
    """Write a cohort folder; `arrays` changes the arrays by lesion id. Returns the hash of its table."""
    (folder / "arrays").mkdir(parents=True)
    tensors = {
        row.lesion_id: tiny_arrays(index, has_ct=row.has_ct, has_pet=row.has_pet)
        for index, row in enumerate(table.itertuples())
    }
    if arrays is not None:
        arrays(tensors)
    packed = {name: save(of_lesion) for name, of_lesion in tensors.items()}
    for name, content in packed.items():
        (folder / "arrays" / f"{name}.safetensors").write_bytes(content)
    hashes = table["lesion_id"].map({name: hashlib.sha256(data).hexdigest() for name, data in packed.items()})
    table.assign(array_sha256=hashes).to_csv(folder / "lesions.csv", index=False)
    pd.DataFrame(columns=list(QC_COLUMNS)).to_csv(folder / "qc.csv", index=False)
    (folder / "manifest.json").write_text(json.dumps({"data_kind": data_kind}), encoding="utf-8")
    return hashlib.sha256((folder / "lesions.csv").read_bytes()).hexdigest()


def changed(table: pd.DataFrame, edit: EditTable | None) -> pd.DataFrame:
    found = None if edit is None else edit(table)
    return table if found is None else found


class MakeRun(Protocol):
    """Makes a run with its cohort; returns the run's folder. Edits change a table before it is written."""

    def __call__(
        self,
        *,
        scores: Mapping[str, Score] | None = None,
        lesions: EditTable | None = None,
        cohort: EditTable | None = None,
        arrays: Callable[[dict], None] | None = None,
        fold_table: EditTable | None = None,
        predictions: EditTable | None = None,
        facts: Mapping[str, Any] | None = None,
        data_kind: str = "phantom",
        class_names: tuple[str, ...] = (),
        **counts: int,
    ) -> Path: ...


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    def make(
        *,
        scores: Mapping[str, Score] | None = None,
        lesions: EditTable | None = None,
        cohort: EditTable | None = None,
        arrays: Callable[[dict], None] | None = None,
        fold_table: EditTable | None = None,
        predictions: EditTable | None = None,
        facts: Mapping[str, Any] | None = None,
        data_kind: str = "phantom",
        class_names: tuple[str, ...] = (),
        **counts: int,
    ) -> Path:
        table = changed(make_lesions(**{"malignant": 72, "benign": 72} | counts), lesions)
        run_dir, cohort_dir = tmp_path / "run", tmp_path / "cohort"
        run_dir.mkdir()
        sha256 = write_cohort(
            cohort_dir, changed(cohort_table(table), cohort), arrays=arrays, data_kind=data_kind
        )
        if scores is None and len(class_names) > 2:
            scores = {"new": noisy_probabilities(2.0, seed=1, classes=len(class_names))}
        rows = make_predictions(
            table, scores or {"new": separated(2.0, seed=1), "old": separated(1.6, seed=2)}
        )
        splits = changed(make_folds(rows), fold_table)
        splits.to_csv(run_dir / "folds.csv", index=False)
        changed(rows, predictions).to_parquet(run_dir / "predictions.parquet", index=False)
        classes = {"classes": len(class_names), "class_names": class_names} if class_names else {}
        config = {
            "modalities": {"ct": {}, "pet": {}},
            "training": {"folds": int(table["fold"].max()) + 1},
            "model": classes,
        }
        (run_dir / "config.json").write_text(json.dumps(config), encoding="utf-8")
        run = {
            "cohort_dir": str(cohort_dir), "cohort_sha256": sha256, "data_kind": data_kind, "config_name": "made",
            "seed": 3, "start": None, "dgccl_version": "0.0.0", "command": "dgccl train", "finished": "2026-01-02",
        }  # fmt: skip
        (run_dir / "run.json").write_text(json.dumps(run | dict(facts or {})), encoding="utf-8")
        return run_dir

    return make


def judged(run_dir: Path, rule: str, *, model: str | None = None, **settings: Any) -> GateResult:
    """One gate of a run."""
    gates = Gates.model_validate({"name": "made", "gates": [{"rule": rule} | settings]})
    return judge(gates.gates[0], open_evidence(run_dir, model=model, cohort_dir=None))
