"""Cosine similarity between two modalities' embeddings, and distance between the classes before and after fusion."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Float, Shaped

from dgccl.evaluation.results import ClassDistance, Cosine, Spread
from dgccl.evaluation.run_tables import RunTables

METHOD = "mean and s.d.; mismatched: lesions of different patients of the same fold"

Vectors = Float[np.ndarray, "n width"]


def cosine_similarity(tables: RunTables, model: str) -> Cosine | None:
    """Cosine between the embeddings of the first two modalities of one model's test lesions.

    Folds are separate networks with separate spaces, so that lesions are only compared within a fold. A lesion
    that lacks a modality has no pair and is left out.

    Returns:
        None where the run kept no embeddings of two modalities.
    """
    first, second = (f"{model}/{name}" for name in (*tables.modalities, "", "")[:2])
    if first not in tables.tensors or second not in tables.tensors:
        return None
    lesions = tables.embedding_rows.iloc[tables.tensors[f"{model}/row"]]
    folds, patients = lesions["fold"].to_numpy(), lesions["patient_id"].to_numpy().astype(str)
    a, b = tables.tensors[first], tables.tensors[second]
    both = a.any(axis=1) & b.any(axis=1)
    if not both.any():
        return None
    trained = _paired(a[both], b[both])
    sums = [
        _mismatched_sums(_Side(a[chosen], patients[chosen]), _Side(b[chosen], patients[chosen]))
        for chosen in (both & (folds == fold) for fold in np.unique(folds))
    ]
    before = [tables.tensors.get(f"{key}_untrained") for key in (first, second)]
    untrained = None
    if before[0] is not None and before[1] is not None:
        untrained = _spread(_paired(before[0][both], before[1][both]))
    return Cosine(_spread(trained), _spread_of_sums(sums), untrained, METHOD)


def class_distances(tables: RunTables, model: str) -> list[ClassDistance]:
    """Cosine distance between classes, of each modality's embeddings and of the fused ones, within folds.

    Only lesions that have every modality count, so that all kinds are measured on the same pairs. The distance within
    classes stands beside it: embeddings that merely spread grow both.

    Returns:
        One a kind, the modalities first; empty where the run kept no fused embeddings.
    """
    keys = {kind: f"{model}/{kind}" for kind in (*tables.modalities, "fused")}
    if any(key not in tables.tensors for key in keys.values()):
        return []
    lesions = tables.embedding_rows.iloc[tables.tensors[f"{model}/row"]]
    complete = np.all([tables.tensors[keys[name]].any(axis=1) for name in tables.modalities], axis=0)
    y_true, folds = lesions["y_true"].to_numpy(), lesions["fold"].to_numpy()
    patients = lesions["patient_id"].to_numpy().astype(str)
    found = []
    for kind, key in keys.items():
        between, within = [], []
        for fold in np.unique(folds[complete]):
            chosen = [complete & (folds == fold) & (y_true == label) for label in np.unique(y_true)]
            sides = [_Side(tables.tensors[key][one], patients[one]) for one in chosen]
            between += [_mismatched_sums(a, b) for a, b in combinations(sides, 2)]
            within += [_mismatched_sums(side, side) for side in sides]
        halved = [
            (count // 2, total / 2.0, squares / 2.0) for count, total, squares in within
        ]  # each pair twice
        found.append(ClassDistance(kind, _distance(between), _distance(halved)))
    return found


def _distance(sums: Iterable[tuple[int, float, float]]) -> Spread | None:
    """Spread of 1 - cosine from the sums of the cosines."""
    found = _spread_of_sums(sums)
    return None if found is None else Spread(1.0 - found.mean, found.sd, found.n)


def _unit(vectors: Vectors) -> Float[np.ndarray, "n width"]:
    double = vectors.astype(np.float64)
    return double / np.maximum(np.linalg.norm(double, axis=1, keepdims=True), 1e-300)


def _paired(a: Vectors, b: Vectors) -> Float[np.ndarray, "n"]:
    return np.einsum("nd,nd->n", _unit(a), _unit(b))


@dataclass(frozen=True, eq=False)
class _Side:
    """One side of pairs: embeddings and their patients."""

    vectors: Vectors
    patients: Shaped[np.ndarray, "n"]


def _mismatched_sums(first: _Side, second: _Side) -> tuple[int, float, float]:
    """Count, sum and sum of squares of the cosines over all pairs of different patients, one of each side.

    All pairs at once by Gram matrices, linear in the lesions; each patient's own pairs are then taken away.
    """
    unit_a, unit_b = _unit(first.vectors), _unit(second.vectors)
    count, total = len(unit_a) * len(unit_b), float(unit_a.sum(axis=0) @ unit_b.sum(axis=0))
    squares = float(np.vdot(unit_a.T @ unit_a, unit_b.T @ unit_b))
    for patient in np.intersect1d(first.patients, second.patients):
        block = unit_a[first.patients == patient] @ unit_b[second.patients == patient].T
        count, total = count - block.size, total - float(block.sum())
        squares -= float(np.vdot(block, block))
    return count, total, squares


def _spread(values: Float[np.ndarray, "n"]) -> Spread:
    sd = float(values.std(ddof=1)) if len(values) > 1 else None
    return Spread(float(values.mean()), sd, len(values))


def _spread_of_sums(sums: Iterable[tuple[int, float, float]]) -> Spread | None:
    count, total, squares = (sum(part) for part in zip((0, 0.0, 0.0), *sums, strict=True))
    if not count:
        return None
    mean = total / count
    sd = float(np.sqrt(max(0.0, squares - count * mean**2) / (count - 1))) if count > 1 else None
    return Spread(float(mean), sd, int(count))
