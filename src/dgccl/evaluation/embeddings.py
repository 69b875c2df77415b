"""Cosine similarity between two modalities' embeddings."""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float, Shaped

from dgccl.evaluation.results import Cosine, Spread
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
        _mismatched_sums(a[chosen], b[chosen], patients[chosen])
        for chosen in (both & (folds == fold) for fold in np.unique(folds))
    ]
    before = [tables.tensors.get(f"{key}_untrained") for key in (first, second)]
    untrained = None
    if before[0] is not None and before[1] is not None:
        untrained = _spread(_paired(before[0][both], before[1][both]))
    return Cosine(_spread(trained), _spread_of_sums(sums), untrained, METHOD)


def _unit(vectors: Vectors) -> Float[np.ndarray, "n width"]:
    double = vectors.astype(np.float64)
    return double / np.maximum(np.linalg.norm(double, axis=1, keepdims=True), 1e-300)


def _paired(a: Vectors, b: Vectors) -> Float[np.ndarray, "n"]:
    return np.einsum("nd,nd->n", _unit(a), _unit(b))


def _mismatched_sums(a: Vectors, b: Vectors, patients: Shaped[np.ndarray, "n"]) -> tuple[int, float, float]:
    """Count, sum and sum of squares of the cosines over all pairs of different patients.

    All pairs at once by Gram matrices, linear in the lesions; each patient's own pairs are then taken away.
    """
    unit_a, unit_b = _unit(a), _unit(b)
    count, total = len(a) ** 2, float(unit_a.sum(axis=0) @ unit_b.sum(axis=0))
    squares = float(np.vdot(unit_a.T @ unit_a, unit_b.T @ unit_b))
    for patient in np.unique(patients):
        own = patients == patient
        block = unit_a[own] @ unit_b[own].T
        count, total = count - block.size, total - float(block.sum())
        squares -= float(np.vdot(block, block))
    return count, total, squares


def _spread(values: Float[np.ndarray, "n"]) -> Spread:
    sd = float(values.std(ddof=1)) if len(values) > 1 else None
    return Spread(float(values.mean()), sd, len(values))


def _spread_of_sums(sums: Iterable[tuple[int, float, float]]) -> Spread | None:
    count, total, squares = (sum(part) for part in zip(*sums, strict=True))
    if not count:
        return None
    mean = total / count
    sd = float(np.sqrt(max(0.0, squares - count * mean**2) / (count - 1))) if count > 1 else None
    return Spread(float(mean), sd, int(count))
