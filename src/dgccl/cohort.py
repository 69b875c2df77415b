"""A cohort on disk: one table row a lesion, its arrays, the decisions that made it, and its folds.

Layout of a cohort folder: `lesions.csv`, `qc.csv`, `manifest.json`, `arrays/<lesion_id>.safetensors`. Values without
images need no folder: `dgccl.table_cohort` opens a CSV file as a cohort.
"""

import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int64
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors

from dgccl.errors import CohortError
from dgccl.lesion import LesionArrays

FLAG_COLUMNS = ("has_ct", "has_pet")
NUMBER_COLUMNS = (
    "age_years", "ct_slice_spacing_mm", "ct_pixel_spacing_mm", "pet_slice_spacing_mm", "pet_pixel_spacing_mm",
    "uptake_time_min", "sul_per_suv_bw", "suv_bsa_per_suv_bw", "suv_max", "suv_peak", "mtv_ml", "tlg",
    "diameter_mm", "volume_ml", "box_mm", "ct_spacing_mm", "pet_spacing_mm",
)  # fmt: skip
LESION_COLUMNS = (
    "lesion_id", "patient_id", "label", "site", "sex", "age_years", "manufacturer", "scanner", "has_ct", "has_pet",
    "ct_slice_spacing_mm", "ct_pixel_spacing_mm", "pet_slice_spacing_mm", "pet_pixel_spacing_mm",
    "uptake_time_min", "sul_per_suv_bw", "suv_bsa_per_suv_bw", "suv_max", "suv_peak", "mtv_ml", "tlg",
    "diameter_mm", "volume_ml", "box_mm", "ct_spacing_mm", "pet_spacing_mm", "qc", "array_sha256",
)  # fmt: skip
"""Columns of `lesions.csv`, in their order; units are in the names (SUV in g/mL, TLG in g). After them stand a flag
for each other image (`image_flag`) and the columns carried from the label table, as text."""

QC_COLUMNS = ("study_code", "status", "code", "message")
TABLE_SOURCE = "table"
"""What the manifest of a cohort without images names as its source."""


def image_flag(name: str) -> str:
    """Column that says which lesions have an image: `has_mr`."""
    return f"has_{name}"


@dataclass(frozen=True, eq=False)
class Cohort:
    """A cohort, opened for reading.

    Attributes:
        folder: what `dgccl ingest` wrote, or the CSV file of a cohort without images.
        lesions: one row a lesion; carried columns as text.
        qc: decisions of ingestion.
        manifest: what made the cohort.
    """

    folder: Path
    lesions: pd.DataFrame
    qc: pd.DataFrame
    manifest: dict[str, Any]

    @property
    def data_kind(self) -> str:
        """`phantom` or `real`."""
        return str(self.manifest["data_kind"])

    @property
    def is_table(self) -> bool:
        """Whether these are values without images."""
        return bool(self.manifest.get("source") == TABLE_SOURCE)

    @property
    def other_images(self) -> tuple[str, ...]:
        """Names of the images that were ingested beside CT and PET."""
        return _other_images(self.manifest)

    @cached_property
    def sha256(self) -> str:
        """Hash of the lesion table, which itself holds the hash of every lesion's arrays."""
        path = self.folder if self.is_table else self.folder / "lesions.csv"
        return hashlib.sha256(path.read_bytes()).hexdigest()

    def arrays(self, lesion_id: str) -> LesionArrays:
        """Arrays of one lesion; a cohort without images has none of any lesion.

        Raises:
            CohortError: no such lesion, or its file is absent or differs from what ingestion wrote.
        """
        row = self.lesions.loc[self.lesions["lesion_id"] == lesion_id]
        if row.empty:
            raise CohortError("unknown_lesion", f"The cohort has no lesion {lesion_id!r}.")
        if self.is_table:
            return LesionArrays(None, None, None, None)
        path = self.folder / "arrays" / f"{lesion_id}.safetensors"
        try:
            data = path.read_bytes()
            if hashlib.sha256(data).hexdigest() != row["array_sha256"].iloc[0]:
                raise CohortError(
                    "array_changed",
                    f"arrays/{path.name} differs from the file that ingestion wrote.",
                    remedy="Run `dgccl ingest` again into a new folder.",
                )
            tensors = load_tensors(data)
        except (FileNotFoundError, SafetensorError) as error:
            raise CohortError(
                "array_unreadable",
                f"arrays/{path.name} is missing or damaged.",
                remedy="Run `dgccl ingest` again into a new folder.",
            ) from error
        masks = {name: tensors[name].astype(bool) for name in ("mask_ct", "mask_pet") if name in tensors}
        others = {name: tensors[name] for name in self.other_images if name in tensors}
        return LesionArrays(
            tensors.get("ct_hu"), masks.get("mask_ct"), tensors.get("suv_bw"), masks.get("mask_pet"), others
        )


@dataclass(frozen=True, eq=False)
class Split:
    """Row indices into the lesion table of one cross-validation fold."""

    fold: int
    train: Int64[np.ndarray, "train"]
    validation: Int64[np.ndarray, "validation"]
    test: Int64[np.ndarray, "test"]

    def items(self) -> list[tuple[str, Int64[np.ndarray, "n"]]]:
        """(split name, row indices) of the three splits."""
        return [(item.name, getattr(self, item.name)) for item in fields(self)[1:]]


def open_cohort(folder: Path) -> Cohort:
    """Open a cohort folder that `dgccl ingest` wrote.

    Raises:
        CohortError: the folder is no cohort, or its tables are damaged.
    """
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        flags = (*FLAG_COLUMNS, *map(image_flag, _other_images(manifest)))
        types: dict[str, str] = defaultdict(lambda: "str")  # carried columns stay as they stand
        types |= dict.fromkeys(NUMBER_COLUMNS, "float64") | dict.fromkeys(flags, "bool") | {"label": "int64"}
        lesions = pd.read_csv(
            folder / "lesions.csv",
            dtype=types,
            na_values={name: [""] for name in NUMBER_COLUMNS},
            keep_default_na=False,
        )
        qc = pd.read_csv(folder / "qc.csv", dtype="str", keep_default_na=False)
    except FileNotFoundError as error:
        raise CohortError(
            "not_a_cohort",
            f"{folder} is no finished cohort: {Path(error.filename).name} is missing.",
            remedy="Make one with `dgccl ingest DICOM_DIR COHORT_DIR --labels labels.csv`.",
        ) from error
    except (ValueError, KeyError) as error:
        raise CohortError("cohort_damaged", f"A table of {folder} cannot be read: {error}.") from error
    missing = [name for name in (*LESION_COLUMNS, *flags) if name not in lesions.columns]
    if missing:
        raise CohortError("cohort_damaged", f"lesions.csv lacks the columns {', '.join(missing)}.")
    if "data_kind" not in manifest:
        raise CohortError(
            "cohort_damaged", "manifest.json does not say whether the data are phantom or real."
        )
    repeated = lesions.loc[lesions["lesion_id"].duplicated(), "lesion_id"].unique()
    if len(repeated):
        raise CohortError(
            "duplicate_lesion_id",
            f"lesions.csv names these lesions twice: {', '.join(repeated[:5])}.",
            remedy="Every lesion needs an id of its own.",
        )
    return Cohort(folder=folder, lesions=lesions, qc=qc, manifest=manifest)


def _other_images(manifest: dict[str, Any]) -> tuple[str, ...]:
    return tuple(image["name"] for image in manifest.get("settings", {}).get("images", ()))


def patient_classes(lesions: pd.DataFrame) -> pd.Series:
    """The class that each patient counts as where folds are made; it matters where a patient has several.

    Of two classes it is the higher label, so that one malignant lesion makes a patient malignant. More classes have
    no order of that kind: a patient counts as its rarest class, the one that the fewest patients have (of equally
    rare ones the higher label), since that is the one that a fold could lack.

    Args:
        lesions: table with `patient_id` and `label`.

    Returns:
        Label by patient_id, in the order of the ids.
    """
    pairs = lesions[["patient_id", "label"]].drop_duplicates()
    spread = pairs["label"].value_counts()
    if len(spread) <= 2:
        return lesions.groupby("patient_id")["label"].max().sort_index()
    by_rarity = sorted(spread.index, key=lambda label: (-spread[label], label))
    rank = pairs["label"].map({label: place for place, label in enumerate(by_rarity)})
    rarest = rank.groupby(pairs["patient_id"]).max().sort_index()
    return rarest.map(dict(enumerate(by_rarity))).rename("label")


def split_folds(lesions: pd.DataFrame, *, folds: int, validation_fraction: float, seed: int) -> list[Split]:
    """Cross-validation folds that keep a patient's lesions together and the classes in proportion.

    A patient counts as one class, see `patient_classes`. Each test fold gets every class; within the rest, a share
    of the patients of each class, at least one, validates.

    Args:
        lesions: table with `patient_id` and `label`.
        folds: number of folds.
        validation_fraction: share of a fold's non-test patients that validates.
        seed: seed of the shuffle.

    Raises:
        CohortError: one class only, fewer patients than folds, or a class too small to be in every split.
    """
    from sklearn.model_selection import StratifiedKFold  # slow to import, and ingestion does not need it

    patients = patient_classes(lesions)
    counts = patients.value_counts()
    if len(counts) < 2:
        raise CohortError(
            "one_class",
            f"All {len(patients)} patients have one and the same label: there is nothing to tell apart.",
            remedy="Check the label column; at least two classes are needed.",
        )
    if len(patients) < folds:
        raise CohortError(
            "fewer_patients_than_folds",
            f"{len(patients)} patients cannot fill {folds} folds.",
            remedy="Lower `folds` in the configuration or add patients.",
        )
    counts = counts.reindex(sorted(lesions["label"].unique()), fill_value=0)
    smallest = int(counts.min())
    # The largest test fold takes the rounded-up share; two must be left, to train and to validate.
    needed = next(n for n in count(folds) if n - -(-n // folds) >= 2)
    if smallest < needed:
        raise CohortError(
            "class_too_small",
            f"Class {counts.idxmin()} has {smallest} patients; {folds} folds need each class in training, "
            f"validation and test, so at least {needed}.",
            remedy="Lower `folds` in the configuration or add patients of that class.",
        )
    rng = np.random.default_rng(seed)
    outer = StratifiedKFold(folds, shuffle=True, random_state=seed)
    splits = []
    for fold, (rest, test) in enumerate(outer.split(patients.index, patients.to_numpy())):
        validation = _pick_validation(patients.to_numpy()[rest], validation_fraction, rng)
        parts = (rest[~validation], rest[validation], test)
        rows = [
            np.flatnonzero(lesions["patient_id"].isin(patients.index[part]).to_numpy()).astype(np.int64)
            for part in parts
        ]
        splits.append(Split(fold, *rows))
    return splits


def _pick_validation(labels: np.ndarray, fraction: float, rng: np.random.Generator) -> np.ndarray:
    """Boolean choice of validation patients: of each class its share, at least one, never all."""
    chosen = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        count = int(np.clip(round(fraction * len(members)), 1, len(members) - 1))
        chosen[rng.permutation(members)[:count]] = True
    return chosen
