"""Leak gate: no two patients have the same image."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from dgccl.acceptance.evidence import Evidence, patient_keys
from dgccl.acceptance.gates import NoDuplicateImages
from dgccl.acceptance.image_hashes import block_ranks, image_hashes, similar_pairs
from dgccl.acceptance.results import Finding, counted, counted_part
from dgccl.errors import CohortError, DgcclError

SHOWN = 50
"""Groups of lesions that are told; all are counted."""

Groups = list[tuple[str, ...]]
"""Lesions that have one image, of two patients or more."""


def judge_duplicates(gate: NoDuplicateImages, evidence: Evidence) -> Finding:
    """No two patients of the cohort have the same stored file, the same image, or nearly the same CT.

    A patient that is in the cohort under two ids is in training and test at once, and no split by id prevents it.
    Lesions of one patient are not compared: their boxes may overlap, and `no_patient_in_two_splits` keeps them on one
    side of every fold. What is not found: copies that were mirrored, turned, or moved by a millimeter or more,
    and near copies of any image but CT.
    """
    cohort = evidence.cohort
    if cohort.is_table:
        raise CohortError(
            "no_images", "The cohort has values and no images to compare.", remedy="Leave this gate out."
        )
    lesions = cohort.lesions
    ids, patients = lesions["lesion_id"].tolist(), patient_keys(lesions["patient_id"]).tolist()
    hashes: dict[str, dict[str, str]] = {"stored file": dict(zip(ids, lesions["array_sha256"], strict=True))}
    ranks = []
    for lesion_id in ids:
        arrays = cohort.arrays(lesion_id)
        for name, value in image_hashes(arrays).items():
            hashes.setdefault(name, {})[lesion_id] = value
        ranks.append(None if arrays.ct_hu is None else block_ranks(arrays.ct_hu))
    patient_of = dict(zip(ids, patients, strict=True))
    found = {name: _shared(values, patient_of) for name, values in hashes.items()}
    near = [
        (a, b, value)
        for a, b, value in _near(ids, ranks, gate.similarity)
        if patient_of[a] != patient_of[b] and not any(h.get(a) == h.get(b, "") for h in hashes.values())
    ]
    return _finding(evidence, found, near, ranks, lesions)


def _shared(hashes: dict[str, str], patient_of: dict[str, str]) -> Groups:
    """Groups of lesions of several patients with one hash."""
    by_hash: dict[str, list[str]] = {}
    for lesion_id, value in hashes.items():
        by_hash.setdefault(value, []).append(lesion_id)
    return [tuple(group) for group in by_hash.values() if len({patient_of[name] for name in group}) > 1]


def _near(
    ids: list[str], ranks: list[np.ndarray | None], similarity: float
) -> Iterable[tuple[str, str, float]]:
    having = [index for index, values in enumerate(ranks) if values is not None]
    if len(having) < 2:
        return
    stacked = np.stack([values for values in ranks if values is not None])
    for a, b, value in similar_pairs(stacked, similarity=similarity):
        first, second = sorted((ids[having[a]], ids[having[b]]))
        yield first, second, value


def _finding(
    evidence: Evidence,
    found: dict[str, Groups],
    near: list[tuple[str, str, float]],
    ranks: list[np.ndarray | None],
    lesions: pd.DataFrame,
) -> Finding:
    total = len(lesions)
    involved = {name for groups in found.values() for group in groups for name in group}
    involved |= {name for pair in near for name in pair[:2]}
    parts = [
        counted_part(
            f"{name}: lesions that share one",
            len({lesion for group in groups for lesion in group}),
            total,
            reason=_first(groups),
        )
        for name, groups in found.items()
    ]
    compared = sum(values is not None for values in ranks)
    parts.append(
        counted_part(
            "CT nearly the same: lesions that share one",
            len({name for pair in near for name in pair[:2]}),
            compared,
            reason=_first([pair[:2] for pair in near]),
        )
    )
    details = {
        "groups": {
            name: [list(group) for group in groups[:SHOWN]] for name, groups in found.items() if groups
        },
        "near_pairs": [{"lesions": [a, b], "correlation": round(value, 4)} for a, b, value in near[:SHOWN]],
        "compared_by_ct_ranks": compared,
    }
    if not involved:
        rest = "" if compared == total else f"; {total - compared} without CT were compared exactly alone"
        reason = f"No image of the {total} lesions is that of another patient{rest}."
        return counted(
            "lesions with another patient's image",
            0,
            total,
            passed=True,
            reason=reason,
            parts=parts,
            details=details,
        )
    labels = lesions.set_index("lesion_id")["label"]
    groups = [*(group for groups in found.values() for group in groups), *(pair[:2] for pair in near)]
    unlike = sum(len({int(labels[name]) for name in group}) > 1 for group in set(groups))
    told = "; ".join(f"{part.name}: {part.figure} ({part.reason})" for part in parts if not part.passed)
    reason = f"{told}. {_across_splits(evidence, groups)} {unlike} of the groups hold several classes."
    return counted(
        "lesions with another patient's image",
        len(involved),
        total,
        passed=False,
        reason=reason,
        parts=parts,
        details=details,
    )


def _first(groups: Iterable[tuple[str, ...]]) -> str:
    first = next(iter(groups), None)
    return "none" if first is None else f"such as {' and '.join(first[:3])}"


def _across_splits(evidence: Evidence, groups: Groups) -> str:
    """How many groups are tested by a network that learned from one of their lesions."""
    try:
        folds = evidence.folds
    except DgcclError:
        return "Which of them stand on both sides of a fold cannot be told."
    sides = {
        test: folds.loc[(folds["split"] == "test") == test].groupby("lesion_id")["fold"].agg(set).to_dict()
        for test in (True, False)
    }
    across = 0
    for group in set(groups):
        tested, learned = (
            set().union(*(sides[side].get(name, set()) for name in group)) for side in (True, False)
        )
        across += bool(tested & learned)
    return f"{across} of {len(set(groups))} groups stand on both sides of a fold."
