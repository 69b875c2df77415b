"""How solid each lesion is: what the phantom knows, or what CT shows within the outline."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Float64

from dgccl.cohort import Cohort
from dgccl.errors import CohortError

SOLID_HU = -300.0
"""Voxels above count as solid: between ground glass (about -700 to -500 HU) and soft tissue (about 0 to 100 HU)."""
TRUTH_COLUMNS = ("patient_id", "solid_fraction")
IDEAL_COLUMNS = ("llr_ct", "llr_pet", "llr_both")
WORDS = {
    "truth": "the phantom's own truth.csv",
    "ct_hu": f"share of the voxels within the CT outline above {SOLID_HU:g} HU",
    "none": "not known: there is neither a phantom's truth nor CT",
}


@dataclass(frozen=True, eq=False)
class SolidFraction:
    """Solid fraction of every lesion of a cohort.

    Attributes:
        values: (n,), from 0 (ground glass) to 1 (solid); NaN where not known.
        source: `truth` for all lesions, or `ct_hu` for all, never a mix; `none` where neither is to be had.
        truth: the phantom's truth, a row a lesion in the cohort's order; None for real lesions.
    """

    values: Float64[np.ndarray, "lesion"]
    source: Literal["truth", "ct_hu", "none"]
    truth: pd.DataFrame | None


def solid_fraction(cohort: Cohort, *, truth_csv: Path | None = None) -> SolidFraction:
    """Solid fraction of a cohort's lesions.

    A phantom's `truth.csv` is looked for in the folders beside the cohort, and taken where the `labels.csv` next to it
    is the very one that the cohort was ingested with.

    Args:
        cohort: opened cohort.
        truth_csv: the phantom's truth.csv, if it lies elsewhere.

    Raises:
        CohortError: `truth_unreadable` or `truth_mismatch`, of a file that was named.
    """
    if truth_csv is not None:
        return _of_truth(cohort, truth_csv)
    if cohort.data_kind == "phantom" and "labels_sha256" in cohort.manifest:
        for path in sorted(cohort.folder.resolve().parent.glob("*/truth.csv")):
            labels = path.with_name("labels.csv")
            if labels.is_file() and _sha256(labels) == cohort.manifest["labels_sha256"]:
                return _of_truth(cohort, path)
    values = np.array([_above(cohort, name) for name in cohort.lesions["lesion_id"]], dtype=np.float64)
    return SolidFraction(values, "none" if np.isnan(values).all() else "ct_hu", None)


def _above(cohort: Cohort, lesion_id: str) -> float:
    arrays = cohort.arrays(lesion_id)
    if arrays.ct_hu is None or arrays.mask_ct is None or not arrays.mask_ct.any():
        return float("nan")
    return float((arrays.ct_hu[arrays.mask_ct] > SOLID_HU).mean())


def _of_truth(cohort: Cohort, path: Path) -> SolidFraction:
    try:
        table = pd.read_csv(path, dtype={"patient_id": "str"})
    except (OSError, ValueError) as error:
        raise CohortError(
            "truth_unreadable", f"{path} cannot be read: {error}.", remedy="Name a phantom's truth.csv."
        ) from error
    lacking = [name for name in TRUTH_COLUMNS if name not in table.columns]
    patients = cohort.lesions["patient_id"]
    unknown = 0 if lacking else int((~patients.isin(table["patient_id"])).sum())
    unique = lacking or (table["patient_id"].is_unique and patients.is_unique)
    if lacking or unknown or not unique:
        reason = (
            f"it lacks the columns {', '.join(lacking)}"
            if lacking
            else f"it does not know {unknown} of {len(patients)} lesions"
            if unknown
            else "a patient has several rows or lesions"
        )
        raise CohortError(
            "truth_mismatch",
            f"{path} is not the truth of the cohort {cohort.folder}: {reason}.",
            remedy="Name the truth.csv of the phantom that was ingested.",
        )
    truth = table.set_index("patient_id").loc[patients].reset_index()
    return SolidFraction(truth["solid_fraction"].to_numpy(np.float64), "truth", truth)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
