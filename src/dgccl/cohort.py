"""A cohort on disk: one table row a lesion, its arrays, and the decisions that made it.

Layout of a cohort folder: `lesions.csv`, `qc.csv`, `manifest.json`, `arrays/<lesion_id>.safetensors`. Values without
images need no folder: `dgccl.table_cohort` opens a CSV file as a cohort.
"""

import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
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
