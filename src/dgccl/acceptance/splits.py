"""Leak gate: no patient on two sides of a fold, and tables that are about the cohort's patients."""

import pandas as pd

from dgccl.acceptance.evidence import Evidence, patient_keys
from dgccl.acceptance.gates import NoPatientInTwoSplits
from dgccl.acceptance.results import Finding, Part, counted, counted_part

SHOWN = 20
"""Ids that are told; all are counted."""


def judge_splits(_gate: NoPatientInTwoSplits, evidence: Evidence) -> Finding:
    """Within a fold a patient is in one split, by the ids of `folds.csv` and by those of the cohort.

    The cohort says whose lesion it is: ids that were changed in the run's tables would hide a patient. Ids that differ
    by upper and lower case or by blanks alone count as one. Beside that: each lesion of the cohort is tested, once, by
    a network that did not learn from it; patients and labels of the tables are the cohort's; and no pre-training has
    learned from lesions that are tested.
    """
    folds, predictions, lesions = evidence.folds, evidence.raw_predictions, evidence.cohort.lesions
    known = pd.DataFrame(
        {
            "lesion_id": lesions["lesion_id"],
            "true_patient": patient_keys(lesions["patient_id"]),
            "label": lesions["label"],
        }
    )
    folds = folds.assign(patient=patient_keys(folds["patient_id"])).merge(known, on="lesion_id", how="left")
    by_folds, by_cohort = _in_two_splits(folds, "patient"), _in_two_splits(folds, "true_patient")
    patients = int(known["true_patient"].nunique())
    parts = [
        counted_part(
            "patients in two splits of one fold",
            len(by_folds | by_cohort),
            len(lesions),
            reason=f"{len(by_folds)} by the ids of folds.csv, {len(by_cohort)} by those of the cohort",
        ),
        *_lesion_parts(folds, predictions, known),
        _pretraining_part(evidence),
    ]
    faults = [part for part in parts if not part.passed]
    told = "; ".join(f"{part.name}: {part.figure} ({part.reason})" for part in faults)
    shared = sorted(_lesions_of(folds, by_folds | by_cohort))
    details = {"lesions_of_patients_in_two_splits": shared[:SHOWN]} if shared else {}
    return counted(
        "patients in two splits",
        len(by_folds | by_cohort),
        len(lesions),
        passed=not faults,
        reason=f"{told}." if faults else f"All {patients} patients are in one split of each fold.",
        parts=parts,
        details=details,
    )


def _in_two_splits(folds: pd.DataFrame, patient: str) -> set[str]:
    splits = folds.dropna(subset=patient).groupby(["fold", patient])["split"].nunique()
    return set(splits.index[splits > 1].get_level_values(patient))


def _lesions_of(folds: pd.DataFrame, patients: set[str]) -> set[str]:
    return set(folds.loc[folds["patient"].isin(patients) | folds["true_patient"].isin(patients), "lesion_id"])


def _lesion_parts(folds: pd.DataFrame, predictions: pd.DataFrame, known: pd.DataFrame) -> list[Part]:
    """Faults of single lesions, counted."""
    total = len(known)
    tested = folds.loc[folds["split"] == "test", "lesion_id"]
    named = set(folds["lesion_id"]) | set(predictions["lesion_id"])
    predicted = predictions.drop_duplicates().merge(known, on="lesion_id", how="left")
    foreign = predicted["true_patient"].isna()
    other_patient = (patient_keys(predicted["patient_id"]) != predicted["true_patient"]) & ~foreign
    moved = set(predicted.loc[other_patient, "lesion_id"])
    moved |= set(
        folds.loc[folds["true_patient"].notna() & (folds["patient"] != folds["true_patient"]), "lesion_id"]
    )
    relabeled = set(predicted.loc[(predicted["y_true"] != predicted["label"]) & ~foreign, "lesion_id"])
    return [
        counted_part(
            "lesions tested by a network that learned from their patient",
            len(_learned_from(folds, predicted)),
            total,
            reason="predictions.parquet against folds.csv and the cohort",
        ),
        counted_part(
            "lesions that are not tested exactly once",
            len(set(known["lesion_id"]) - set(tested)) + int(tested.value_counts().gt(1).sum()),
            total,
            reason="folds.csv against the cohort",
        ),
        counted_part(
            "lesions that are not in the cohort",
            len(named - set(known["lesion_id"])),
            total,
            reason="folds.csv and predictions.parquet against the cohort",
        ),
        counted_part(
            "lesions of another patient than in the cohort",
            len(moved),
            total,
            reason="folds.csv and predictions.parquet against the cohort",
        ),
        counted_part(
            "lesions of another class than in the cohort",
            len(relabeled),
            total,
            reason="predictions.parquet against the cohort",
        ),
    ]


def _learned_from(folds: pd.DataFrame, predicted: pd.DataFrame) -> set[str]:
    """Lesions with a test prediction of a fold whose training or validation has their patient."""
    learned = folds.loc[folds["split"] != "test", ["fold", "true_patient"]].dropna().drop_duplicates()
    tested = predicted.loc[predicted["split"] == "test", ["lesion_id", "fold", "true_patient"]]
    return set(tested.merge(learned, on=["fold", "true_patient"])["lesion_id"])


def _pretraining_part(evidence: Evidence) -> Part:
    start = evidence.facts.get("start") or {}
    count = int(start.get("transductive_lesions") or 0)
    reason = "as run.json notes it" if start else "nothing was pre-trained"
    return counted_part(
        "tested lesions that a pre-training learned from", count, len(evidence.cohort.lesions), reason=reason
    )
