"""A cohort of blurred balls and a run of invented scores, written as ingestion and training write theirs."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save, save_file

from dgccl.cohort import LESION_COLUMNS, Cohort, open_cohort
from dgccl.evaluation import evaluate

FOLDS = 5
MODELS = ("dgccl", "late_fusion")
GATED = ("dgccl", "gated_residual", "product_of_experts")


@dataclass(frozen=True)
class MadeRun:
    """Where the invented run lies, and its cohort."""

    folder: Path
    cohort: Cohort


def make_run(
    folder: Path,
    *,
    lesions: int = 60,
    models: tuple[str, ...] = MODELS,
    data_kind: str = "phantom",
    site: str = "Site A",
    refused: int = 3,
    embeddings: bool = True,
    class_names: tuple[str, ...] = ("benign", "malignant"),
) -> MadeRun:
    """Write `folder/cohort` and an evaluated `folder/run`."""
    cohort = make_cohort(
        folder / "cohort",
        lesions=lesions,
        data_kind=data_kind,
        site=site,
        refused=refused,
        classes=len(class_names),
    )
    run = folder / "run"
    run.mkdir()
    rng = np.random.default_rng(8)
    make_table = _predictions if len(class_names) == 2 else _probabilities
    table = make_table(cohort.lesions, models, rng)
    table.to_parquet(run / "predictions.parquet")
    _folds(table).to_csv(run / "folds.csv", index=False)
    _history(models, rng).to_csv(run / "history.csv", index=False)
    if embeddings:
        _embeddings(run, table, rng)
    config = {
        "name": "fast", "seed": 3, "models": list(models),
        "modalities": {"ct": {"quantity": "hu", "window": [-1000, 1000]}, "pet": {"quantity": "suv_bw"}},
        "training": {"folds": FOLDS, "epochs": 20},
        "model": {"classes": len(class_names), "class_names": class_names},
    }  # fmt: skip
    _write(run / "config.json", config)
    about = {
        "cohort_dir": "cohort", "cohort_sha256": cohort.sha256, "data_kind": data_kind, "config_name": "fast",
        "seed": 3, "dgccl_version": "0.1.0", "command": "dgccl train cohort run --config configs/fast.toml",
        "started": "2026-01-02T03:04:05+00:00", "finished": "2026-01-02T03:08:05+00:00",
    }  # fmt: skip
    _write(run / "run.json", about)
    environment = {"python": "3.11.2", "device": "cpu", "packages": {"torch": "2.13.0", "numpy": "2.4.6"}}
    _write(run / "environment.json", environment)
    evaluate(run)
    return MadeRun(run, cohort)


def _write(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


def make_cohort(
    folder: Path, *, lesions: int, data_kind: str, site: str, refused: int, classes: int = 2
) -> Cohort:
    """Write a cohort of blurred balls; lesion 0 lacks PET, lesion 1 lacks CT."""
    rng = np.random.default_rng(7)
    (folder / "arrays").mkdir(parents=True)
    rows = []
    for index in range(lesions):
        label = index % classes
        lesion_id = f"P{index:03d}-L1"
        diameter_mm = float(rng.uniform(6, 28))
        suv_max = float(rng.lognormal(0.9 + 0.7 * label, 0.5))
        data = save(_arrays(rng, diameter_mm, suv_max, without={0: "pet", 1: "ct"}.get(index)))
        (folder / "arrays" / f"{lesion_id}.safetensors").write_bytes(data)
        rows.append({
            "lesion_id": lesion_id, "patient_id": f"P{index:03d}", "label": label,
            "site": site if index % 3 else "Site B", "sex": "F" if index % 2 else "M",
            "age_years": float(rng.integers(35, 85)), "manufacturer": "Maker", "scanner": f"Maker {index % 2 + 1}",
            "has_ct": index != 1, "has_pet": index != 0, "ct_slice_spacing_mm": 1.0, "ct_pixel_spacing_mm": 0.8,
            "pet_slice_spacing_mm": 4.0, "pet_pixel_spacing_mm": 4.0, "uptake_time_min": float(rng.normal(62, 6)),
            "sul_per_suv_bw": 0.75, "suv_bsa_per_suv_bw": 250.0, "suv_max": suv_max if index else np.nan,
            "suv_peak": suv_max * 0.8, "mtv_ml": 2.0, "tlg": 5.0, "diameter_mm": diameter_mm, "volume_ml": 3.0,
            "box_mm": 64.0, "ct_spacing_mm": 1.0, "pet_spacing_mm": 4.0, "qc": "",
            "array_sha256": hashlib.sha256(data).hexdigest(),
        })  # fmt: skip
    pd.DataFrame(rows)[list(LESION_COLUMNS)].to_csv(folder / "lesions.csv", index=False)
    qc = [
        {"study_code": f"P{900 + i}", "status": "refused", "code": ("missing_slices", "no_pet")[i % 2],
         "message": "3 slices are missing between 10 and 16 mm."}
        for i in range(refused)
    ]  # fmt: skip
    qc += [{"study_code": "P000", "status": "accepted", "code": "ok", "message": ""}]
    qc += [
        {
            "study_code": "P001",
            "status": "accepted",
            "code": "several_ct",
            "message": "The thinnest of 2 CT series was taken.",
        }
    ]
    pd.DataFrame(qc).to_csv(folder / "qc.csv", index=False)
    _write(
        folder / "manifest.json",
        {"data_kind": data_kind, "dgccl_version": "0.1.0", "settings": {"box_mm": 64.0}},
    )
    return open_cohort(folder)


def _ball(count: int, spacing_mm: float, diameter_mm: float, blur_mm: float) -> np.ndarray:
    axis = (np.arange(count) - (count - 1) / 2) * spacing_mm
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    radius = np.sqrt(z**2 + y**2 + (x * (1 + 0.1 * np.sin(y / 3))) ** 2)
    return 1.0 / (1.0 + np.exp((radius - diameter_mm / 2) / blur_mm))


def _arrays(rng: np.random.Generator, diameter_mm: float, suv_max: float, *, without: str | None) -> dict:
    tensors = {}
    if without != "ct":
        shape = _ball(64, 1.0, diameter_mm, 0.6)
        tensors["ct_hu"] = (-820 + 850 * shape + rng.normal(0, 40, shape.shape)).astype(np.int16)
        tensors["mask_ct"] = (shape > 0.5).astype(np.uint8)
    if without != "pet":
        shape = _ball(16, 4.0, diameter_mm, 2.5)
        tensors["suv_bw"] = np.maximum(0.5 + suv_max * shape + rng.normal(0, 0.1, shape.shape), 0).astype(
            np.float32
        )
        tensors["mask_pet"] = (shape > 0.4).astype(np.uint8)
    return tensors


def _predictions(lesions: pd.DataFrame, models: tuple[str, ...], rng: np.random.Generator) -> pd.DataFrame:
    rows = []
    for model in models:
        for pattern in ("ct+pet", "ct", "pet"):
            for index, lesion in enumerate(lesions.to_dict("records")):
                shown = [name for name in pattern.split("+") if lesion[f"has_{name}"]]
                if not shown or (model.startswith("single_") and model.removeprefix("single_") not in shown):
                    continue
                strength = (1.5 + 0.4 * (model == "dgccl")) * (0.6 + 0.2 * len(shown))
                score = 1 / (1 + np.exp(-(strength * (2 * lesion["label"] - 1) + rng.normal(0, 1.5))))
                gate_pet = float(np.clip(0.45 + 0.15 * lesion["label"] + rng.normal(0, 0.1), 0, 1))
                gate_pet = gate_pet if len(shown) == 2 else float(shown == ["pet"])
                gates = (1 - gate_pet, gate_pet) if model in GATED else (np.nan, np.nan)
                for split, fold in (("test", index // 2 % FOLDS), ("validation", (index // 2 + 1) % FOLDS)):
                    rows.append({
                        "lesion_id": lesion["lesion_id"], "patient_id": lesion["patient_id"], "site": lesion["site"],
                        "model": model, "fold": fold, "split": split, "pattern": pattern,
                        "modalities_shown": "+".join(shown), "y_true": lesion["label"], "y_score": score,
                        "gate_ct": gates[0], "gate_pet": gates[1],
                    })  # fmt: skip
    return pd.DataFrame(rows)


def _probabilities(lesions: pd.DataFrame, models: tuple[str, ...], rng: np.random.Generator) -> pd.DataFrame:
    """As `_predictions`, with probabilities of every class; a model of one modality judges only what has it."""
    rows = []
    classes = int(lesions["label"].max()) + 1
    for rank, model in enumerate(models):
        alone = model.removeprefix("single_") if model.startswith("single_") else ""
        for pattern in ("ct+pet", "ct", "pet"):
            for index, lesion in enumerate(lesions.to_dict("records")):
                shown = [name for name in pattern.split("+") if lesion[f"has_{name}"]]
                if (
                    not shown
                    or (pattern != "ct+pet" and pattern != "+".join(shown))
                    or alone not in ["", *shown]
                ):
                    continue
                strength = (2.4 - 0.15 * rank) * (0.5 + 0.25 * len(shown))
                powers = np.exp(strength * np.eye(classes)[lesion["label"]] + rng.normal(0, 1.2, classes))
                gate_pet = float(np.clip(0.4 + 0.1 * lesion["label"] + rng.normal(0, 0.1), 0, 1))
                gate_pet = gate_pet if len(shown) == 2 else float(shown == ["pet"])
                gates = (1 - gate_pet, gate_pet) if model in GATED else (np.nan, np.nan)
                for split, fold in (
                    ("test", index // classes % FOLDS),
                    ("validation", (index // classes + 1) % FOLDS),
                ):
                    row = {
                        "lesion_id": lesion["lesion_id"], "patient_id": lesion["patient_id"], "site": lesion["site"],
                        "model": model, "fold": fold, "split": split, "pattern": pattern,
                        "modalities_shown": "+".join(shown), "y_true": lesion["label"],
                        "gate_ct": gates[0], "gate_pet": gates[1],
                    }  # fmt: skip
                    scores = enumerate(powers / powers.sum())
                    rows.append(row | {f"y_score_{kind}": value for kind, value in scores})
    return pd.DataFrame(rows)


def _folds(predictions: pd.DataFrame) -> pd.DataFrame:
    """The splits that the predictions followed; who is neither tested nor validating trains."""
    first = predictions["model"].iloc[0]
    scored = predictions.loc[(predictions["model"] == first) & (predictions["pattern"] == "ct+pet")]
    scored = scored[["lesion_id", "patient_id", "fold", "split"]]
    everyone = scored[["lesion_id", "patient_id"]].drop_duplicates()
    every_fold = everyone.merge(pd.DataFrame({"fold": range(FOLDS)}), how="cross")
    table = every_fold.merge(scored, on=["lesion_id", "patient_id", "fold"], how="left")
    return table.fillna({"split": "train"})


def _history(models: tuple[str, ...], rng: np.random.Generator) -> pd.DataFrame:
    rows = [
        {
            "model": model,
            "fold": fold,
            "epoch": epoch,
            "train_loss": 0.9 * np.exp(-epoch / 8) + 0.1,
            "validation_loss": 0.7 * np.exp(-epoch / 9) + 0.25 + 0.04 * rng.normal(),
            "validation_auroc": 1 - 0.4 * np.exp(-epoch / 5) - 0.03 * abs(rng.normal()),
        }
        for model in models
        for fold in range(FOLDS)
        for epoch in range(20)
    ]
    return pd.DataFrame(rows)


def _embeddings(run: Path, predictions: pd.DataFrame, rng: np.random.Generator) -> None:
    full = (predictions["split"] == "test") & (predictions["pattern"] == "ct+pet")
    chosen = predictions.loc[full & (predictions["model"] == "dgccl")]
    rows = chosen[["lesion_id", "patient_id", "fold", "y_true"]].reset_index(drop=True)
    rows.to_csv(run / "embeddings.csv", index=False)
    centers = rng.normal(size=(int(rows["y_true"].max()) + 1, 16))[rows["y_true"].to_numpy()]
    kinds = ("ct", "pet", "fused", "ct_untrained", "pet_untrained")
    tensors = {
        f"dgccl/{kind}": (centers * (not kind.endswith("untrained")) + rng.normal(size=centers.shape)).astype(
            np.float32
        )
        for kind in kinds
    }
    save_file(tensors | {"dgccl/row": np.arange(len(rows))}, run / "embeddings.safetensors")


@pytest.fixture(scope="session", name="make_run")
def _make_run() -> Callable[..., MadeRun]:
    return make_run


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeRun:
    """One run of both models that the tests read and do not change."""
    return make_run(tmp_path_factory.mktemp("made"))
