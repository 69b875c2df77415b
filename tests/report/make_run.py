"""A cohort and a run folder of invented numbers, written as ingestion, training and evaluation write theirs."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.numpy import save, save_file

from dgccl.cohort import LESION_COLUMNS, Cohort, open_cohort

FOLDS = 5
MODELS = ("dgccl", "late_fusion")


@dataclass(frozen=True)
class MadeRun:
    """Where the invented run lies, and its cohort."""

    folder: Path
    cohort: Cohort


def make_run(
    folder: Path,
    *,
    lesions: int = 60,
    seed: int = 7,
    data_kind: str = "phantom",
    site: str = "Site A",
    refused: int = 3,
) -> MadeRun:
    """Write `folder/cohort` and `folder/run`."""
    cohort = make_cohort(
        folder / "cohort", lesions=lesions, seed=seed, data_kind=data_kind, site=site, refused=refused
    )
    run = folder / "run"
    run.mkdir()
    rng = np.random.default_rng(seed + 1)
    table = _predictions(cohort.lesions, rng)
    table.to_parquet(run / "predictions.parquet")
    _history(rng).to_csv(run / "history.csv", index=False)
    _embeddings(run, table, rng)
    _write(run / "config.json", {
        "name": "fast", "seed": seed, "models": list(MODELS),
        "modalities": {"ct": {"quantity": "hu", "window": [-1000, 1000]}, "pet": {"quantity": "suv", "window": [0, 15]}},
        "training": {"folds": FOLDS, "epochs": 20},
    })  # fmt: skip
    _write(run / "run.json", {
        "cohort_dir": "cohort", "cohort_sha256": cohort.sha256, "data_kind": data_kind, "config_name": "fast",
        "seed": seed, "dgccl_version": "0.1.0", "command": "dgccl train cohort run --config configs/fast.toml",
        "started": "2026-01-02T03:04:05+00:00", "finished": "2026-01-02T03:08:05+00:00",
    })  # fmt: skip
    _write(run / "environment.json", {
        "python": "3.11.2", "platform": "Linux", "device": "cpu", "packages": {"torch": "2.13.0", "numpy": "2.4.6"},
    })  # fmt: skip
    _write(run / "results.json", make_results(cohort, data_kind=data_kind, seed=seed))
    return MadeRun(run, cohort)


def _write(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


def make_cohort(folder: Path, *, lesions: int, seed: int, data_kind: str, site: str, refused: int) -> Cohort:
    """Write a cohort of blurred balls; lesion 0 lacks PET, lesion 1 lacks CT."""
    rng = np.random.default_rng(seed)
    (folder / "arrays").mkdir(parents=True)
    rows = []
    for index in range(lesions):
        label = index % 2
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
        {"patient_id": f"P{900 + i}", "decision": "refused", "code": ("missing_slices", "no_pet")[i % 2],
         "message": "3 slices are missing between 10 and 16 mm."}
        for i in range(refused)
    ]  # fmt: skip
    qc += [{"patient_id": "P000", "decision": "accepted", "code": "", "message": ""}]
    qc += [
        {
            "patient_id": "P001",
            "decision": "accepted",
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


def _predictions(lesions: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    rows = []
    for model in MODELS:
        for pattern in ("ct+pet", "ct", "pet"):
            for index, lesion in enumerate(lesions.to_dict("records")):
                score = 1 / (1 + np.exp(-(2.2 * (2 * lesion["label"] - 1) + rng.normal(0, 2))))
                gate_pet = float(np.clip(0.45 + 0.15 * lesion["label"] + rng.normal(0, 0.1), 0, 1))
                gate_pet = {"ct": 0.0, "pet": 1.0}.get(pattern, gate_pet)
                for split, fold in (("test", index // 2 % FOLDS), ("validation", (index // 2 + 1) % FOLDS)):
                    rows.append({
                        "lesion_id": lesion["lesion_id"], "patient_id": lesion["patient_id"], "site": lesion["site"],
                        "model": model, "fold": fold, "split": split, "pattern": pattern, "y_true": lesion["label"],
                        "y_score": score, "gate_ct": 1 - gate_pet if model == "dgccl" else np.nan,
                        "gate_pet": gate_pet if model == "dgccl" else np.nan,
                    })  # fmt: skip
    return pd.DataFrame(rows)


def _history(rng: np.random.Generator) -> pd.DataFrame:
    rows = [
        {"model": model, "fold": fold, "epoch": epoch, "train_loss": 0.9 * np.exp(-epoch / 8) + 0.1,
         "validation_loss": 0.7 * np.exp(-epoch / 9) + 0.25 + 0.04 * rng.normal(),
         "validation_auroc": 1 - 0.4 * np.exp(-epoch / 5) - 0.03 * abs(rng.normal())}
        for model in MODELS for fold in range(FOLDS) for epoch in range(20)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def _embeddings(run: Path, predictions: pd.DataFrame, rng: np.random.Generator) -> None:
    chosen = (
        (predictions["model"] == "dgccl")
        & (predictions["split"] == "test")
        & (predictions["pattern"] == "ct+pet")
    )
    rows = predictions.loc[chosen, ["lesion_id", "patient_id", "fold", "y_true"]].reset_index(drop=True)
    rows.to_csv(run / "embeddings.csv", index=False)
    center = rng.normal(size=(2, 16))
    fused = (center[rows["y_true"].to_numpy()] + rng.normal(size=(len(rows), 16))).astype(np.float32)
    tensors = {f"dgccl/{name}": fused for name in ("ct", "pet", "fused")}
    save_file(tensors | {"dgccl/row": np.arange(len(rows))}, run / "embeddings.safetensors")


def _estimate(value: float, half: float, method: str, n: int) -> dict:
    return {
        "estimate": value,
        "ci_low": value - half,
        "ci_high": min(1.0, value + half),
        "method": method,
        "n": n,
    }


def make_results(cohort: Cohort, *, data_kind: str, seed: int) -> dict:
    """Results whose numbers are all different, so that a test can tell each in the page."""
    n = len(cohort.lesions)
    x = np.linspace(0, 1, 30)
    models = {}
    for index, name in enumerate(MODELS):
        area = 0.87312 - 0.04451 * index
        gate = {
            "by_class": {
                "benign": {"ct": {"median": 0.5512, "q1": 0.48, "q3": 0.62}, "pet": {"median": 0.4488, "q1": 0.38, "q3": 0.52}},
                "malignant": {"ct": {"median": 0.4013, "q1": 0.33, "q3": 0.47}, "pet": {"median": 0.5987, "q1": 0.53, "q3": 0.67}},
            },
            "ks": {"statistic": 0.5333, "p": 0.00012},
        }  # fmt: skip
        cosine = {"paired": {"mean": 0.7123, "sd": 0.12}, "mismatched": {"mean": 0.2211, "sd": 0.2},
                  "paired_untrained": {"mean": 0.0934, "sd": 0.15}}  # fmt: skip
        models[name] = {
            "auroc": _estimate(area, 0.0911, "delong", n),
            "auroc_by_fold": [0.91 - 0.031 * index, 0.85, None, 0.8817, 0.79 + 0.017 * index],
            "threshold_by_fold": [0.5, 0.4711, 0.52, 0.55, 0.4523],
            "sensitivity": _estimate(0.8012 - 0.01 * index, 0.14, "wilson", n // 2),
            "specificity": _estimate(0.7678 + 0.01 * index, 0.15, "wilson", n - n // 2),
            "confusion": {"tp": 24, "fp": 7, "fn": 6, "tn": 23},
            "roc": {"fpr": list(x), "tpr": list(x ** (0.15 + 0.06 * index))},
            "patterns": {
                "ct": {"auroc": _estimate(0.7923 - 0.01 * index, 0.11, "delong", n),
                       "drop": _estimate(0.0809, 0.06, "delong", n) | {"p": 0.0123}},
                "pet": {"auroc": _estimate(0.8434 - 0.01 * index, 0.1, "delong", n),
                        "drop": _estimate(0.0297, 0.04, "delong", n) | {"p": 0.147}},
            },
            "gate": gate if name == "dgccl" else None,
            "cosine": cosine if name == "dgccl" else None,
        }  # fmt: skip
    return {
        "meta": {
            "run": "run", "config_name": "fast", "data_kind": data_kind, "seed": seed, "dgccl_version": "0.1.0",
            "cohort_sha256": cohort.sha256, "n_lesions": n, "n_patients": n, "n_malignant": n // 2,
            "n_benign": n - n // 2, "folds": FOLDS, "command": "dgccl evaluate run", "bands": {},
        },
        "models": models,
        "delong": [{"a": "dgccl", "b": "late_fusion", "difference": 0.04451, "ci_low": -0.0123, "ci_high": 0.1013,
                    "z": 1.5377, "p": 0.1241, "p_holm": 0.1242}],
        "published": {
            "auroc": {"value": 0.916, "ci_low": 0.902, "ci_high": 0.93, "text": "AUC of the method"},
            "auroc_late_fusion": {"value": 0.885, "ci_low": 0.867, "ci_high": 0.903, "text": "AUC of late fusion"},
            "cosine_after": {"value": 0.78, "text": "CT-PET cosine similarity after training"},
            "gate_pet_malignant": {"value": 0.67, "text": "Median PET weight, malignant"},
            "fusion_flops": {"value": "2.0 T", "text": "FLOPs of the fusion"},
        },
        "warnings": [f"{n} lesions: the intervals are wide, and this run cannot rank methods."],
    }  # fmt: skip
