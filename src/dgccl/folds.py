"""Cross-validation folds: by patient, or by site."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from itertools import count
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Int64

from dgccl.errors import CohortError


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


def split_folds(
    lesions: pd.DataFrame,
    *,
    folds: int,
    validation_fraction: float,
    seed: int,
    by: Literal["patient", "site"] = "patient",
) -> list[Split]:
    """Cross-validation folds that keep a patient's lesions together and the classes in proportion.

    A patient counts as one class, see `patient_classes`. By patient, each test fold gets every class. By site, each
    test fold is one whole site, in the order of their names, so that no network is tested on a site that it has seen;
    a site may lack a class. Within the rest, a share of the patients of each class, at least one, validates.

    Args:
        lesions: table with `patient_id` and `label`, and `site` where folds go by site.
        folds: number of folds; by site, the number of sites.
        validation_fraction: share of a fold's non-test patients that validates.
        seed: seed of the shuffle.
        by: what a test fold is made of.

    Raises:
        CohortError: one class only, fewer patients than folds, or a class too small to be in every split; by site,
            a lesion without a site, a patient of two sites, or another number of sites than folds.
    """
    patients = patient_classes(lesions)
    parts = _parts_by_site if by == "site" else _parts_by_patient
    rng = np.random.default_rng(seed)
    splits = []
    for fold, (rest, test) in enumerate(parts(lesions, patients, folds, seed)):
        validation = _pick_validation(patients.to_numpy()[rest], validation_fraction, rng)
        chosen = (rest[~validation], rest[validation], test)
        rows = [
            np.flatnonzero(lesions["patient_id"].isin(patients.index[part]).to_numpy()).astype(np.int64)
            for part in chosen
        ]
        splits.append(Split(fold, *rows))
    return splits


Parts = Iterable[tuple[Int64[np.ndarray, "rest"], Int64[np.ndarray, "test"]]]
"""Of each fold the places of the patients that do not test, and of those that do."""


def _parts_by_patient(lesions: pd.DataFrame, patients: pd.Series, folds: int, seed: int) -> Parts:
    from sklearn.model_selection import StratifiedKFold  # slow to import, and ingestion does not need it

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
    outer = StratifiedKFold(folds, shuffle=True, random_state=seed)
    return outer.split(patients.index, patients.to_numpy())


def _parts_by_site(lesions: pd.DataFrame, patients: pd.Series, folds: int, seed: int) -> Parts:
    """One whole site a fold; what is left must have two patients of each class, to train and to validate."""
    sites = lesions.groupby("patient_id")["site"].agg(lambda values: sorted(set(values)))
    lacking, several = (sites.map(lambda names: "" in names).sum(), (sites.map(len) > 1).sum())
    if lacking or several:
        raise CohortError(
            "site_unclear",
            f"{lacking} patients have a lesion without a site, {several} have lesions of several sites; folds by site "
            "need one site a patient.",
            remedy='Complete the column `site`, or set fold_by = "patient".',
        )
    of_patient = sites.map(lambda names: names[0]).loc[patients.index].to_numpy(str)
    names = np.unique(of_patient)
    if len(names) != folds:
        raise CohortError(
            "folds_not_sites",
            f"There are {len(names)} sites and {folds} folds; by site there is one fold a site.",
            remedy=f"Set folds = {len(names)} in the configuration."
            if len(names) > 1
            else 'Set fold_by = "patient": a single site cannot be left out.',
        )
    parts = []
    for name in names:
        rest, test = np.flatnonzero(of_patient != name), np.flatnonzero(of_patient == name)
        counts = patients.iloc[rest].value_counts().reindex(sorted(lesions["label"].unique()), fill_value=0)
        if len(counts) < 2 or counts.min() < 2:
            raise CohortError(
                "class_too_small",
                f"Without one of the sites, class {counts.idxmin()} has {counts.min()} patients left; training and "
                "validation need two of each class.",
                remedy='Set fold_by = "patient", or add patients of that class at the other sites.',
            )
        parts.append((rest, test))
    return parts


def _pick_validation(labels: np.ndarray, fraction: float, rng: np.random.Generator) -> np.ndarray:
    """Boolean choice of validation patients: of each class its share, at least one, never all."""
    chosen = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        count = int(np.clip(round(fraction * len(members)), 1, len(members) - 1))
        chosen[rng.permutation(members)[:count]] = True
    return chosen
