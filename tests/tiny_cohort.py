"""A cohort folder small enough to train on in a test: random lesions whose class shows in every modality."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.numpy import save

from dgccl.cohort import LESION_COLUMNS, QC_COLUMNS, Cohort, open_cohort
from dgccl.config import ExperimentConfig

BOX_MM = 64.0
WITHOUT_PET, WITHOUT_CT = (3, 10), (6,)
WITHOUT_MR, WITHOUT_CLINICAL = (4,), (5, 9)
LEVELS = ("never", "former", "current")


def write_tiny_cohort(
    folder: Path,
    *,
    lesions: int = 24,
    ct_px: int = 16,
    pet_px: int = 8,
    complete: bool = False,
    labels: list[int] | None = None,
    seed: int = 0,
    mr_px: int = 0,
    clinical: bool = False,
) -> Cohort:
    """Two lesions a patient are the exception (lesions 0 and 1); a few lesions lack a modality unless `complete`.

    `mr_px` adds an MR of that edge, `clinical` the columns cea_ng_ml and smoking.
    """
    rng = np.random.default_rng(seed)
    (folder / "arrays").mkdir(parents=True)
    rows = []
    for index in range(lesions):
        label = index // 2 % 2 if labels is None else labels[index]
        noise = rng.integers(-900, -400, (ct_px,) * 3)
        tensors: dict[str, np.ndarray] = {
            "ct_hu": (noise + 300 * label).astype(np.int16),
            "mask_ct": np.ones((ct_px,) * 3, np.uint8),
            "suv_bw": rng.gamma(2.0, 1.0 + label, (pet_px,) * 3).astype(np.float32),
            "mask_pet": np.ones((pet_px,) * 3, np.uint8),
        }
        if index in WITHOUT_PET and not complete:
            del tensors["suv_bw"], tensors["mask_pet"]
        if index in WITHOUT_CT and not complete:
            del tensors["ct_hu"], tensors["mask_ct"]
        # A generator of its own, so that the other arrays are the same with and without.
        extra = np.random.default_rng((seed, index))
        if mr_px and (complete or index not in WITHOUT_MR):
            tensors["mr"] = extra.normal(label, 1.0, (mr_px,) * 3).astype(np.float32)
        values = {}
        if clinical:
            known = complete or index not in WITHOUT_CLINICAL
            values["cea_ng_ml"] = f"{extra.gamma(2.0, 1.0 + label):.2f}" if known else ""
            values["smoking"] = LEVELS[extra.integers(3)] if known and (complete or index % 5) else ""
        content = save(tensors)
        (folder / "arrays" / f"L{index:02d}.safetensors").write_bytes(content)
        rows.append(
            dict.fromkeys(LESION_COLUMNS, "")
            | {
                "lesion_id": f"L{index:02d}",
                "patient_id": f"P{max(index, 1):02d}",
                "label": label,
                "site": "AB"[index % 2],
                "has_ct": "ct_hu" in tensors,
                "has_pet": "suv_bw" in tensors,
                "sul_per_suv_bw": 0.7 + 0.01 * index,
                "suv_bsa_per_suv_bw": 250.0,
                "box_mm": BOX_MM,
                "ct_spacing_mm": BOX_MM / ct_px,
                "pet_spacing_mm": BOX_MM / pet_px,
                "array_sha256": hashlib.sha256(content).hexdigest(),
            }
            | ({"has_mr": "mr" in tensors} if mr_px else {})
            | values
        )
    pd.DataFrame(rows).to_csv(folder / "lesions.csv", index=False)
    pd.DataFrame(columns=list(QC_COLUMNS)).to_csv(folder / "qc.csv", index=False)
    settings = {"images": [{"name": "mr", "pattern": ""}]} if mr_px else {}
    (folder / "manifest.json").write_text(json.dumps({"data_kind": "phantom", "settings": settings}))
    return open_cohort(folder)


def tiny_config(**training: object) -> ExperimentConfig:
    """Both models, two folds, two epochs."""
    modality = {"field_mm": 48.0, "input_px": 32, "encoder": "cnn", "encoder_width": 8, "token_width": 8}
    widths = {"embedding_width": 8, "attention_heads": 2, "gate_hidden": 8, "head_hidden": 8}
    return ExperimentConfig.model_validate(
        {
            "name": "tiny",
            "seed": 7,
            "modalities": {
                "ct": modality | {"quantity": "hu", "window": (-1000.0, 1000.0)},
                "pet": modality | {"quantity": "suv", "window": (0.0, 10.0), "field_mm": 64.0},
            },
            "model": widths,
            "training": {"folds": 2, "epochs": 2, "batch_size": 6, "learning_rate": 0.01} | training,
        }
    )
