"""Retrieval across modalities: does a lesion's CT find the PET of the same lesion among those of others?"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64

from dgccl.errors import StatsError
from dgccl.stats import Estimate, wilson_interval

TIE = 1e-9
"""Cosines closer than this are equal: a matrix product rounds differently from place to place."""


@dataclass(frozen=True)
class RetrievalResult:
    """How often the partner of a query is among the nearest of the gallery.

    Attributes:
        recall_at_1: share of queries whose partner is the nearest, with Wilson's interval.
        recall_at_10: share of queries whose partner is among the ten nearest, likewise.
        median_rank: of the partner, 1 is best.
        n: queries, and lesions in the gallery.
        chance_at_1: what a ranking by lot reaches.
        chance_at_10: likewise; 1 where the gallery has ten lesions or fewer.
    """

    recall_at_1: Estimate
    recall_at_10: Estimate
    median_rank: float
    n: int
    chance_at_1: float
    chance_at_10: float


def retrieval(
    embeddings_a: Float[np.ndarray, "query width"],
    embeddings_b: Float[np.ndarray, "entry width"],
    *,
    confidence: float = 0.95,
) -> RetrievalResult:
    """Rank all of b by their cosine with each of a, and see where the partner stands.

    A partner stands behind everything that ties with it, so that embeddings which have collapsed to one point find
    nothing. Queries count as independent trials; they share a gallery, which the interval does not reflect.

    Args:
        embeddings_a: queries, (n, D).
        embeddings_b: gallery, row by row the same lesions.
        confidence: nominal coverage of the intervals.

    Raises:
        StatsError: `rows_are_no_pairs`, `too_few_pairs` (fewer than 2), `not_finite`, `confidence_out_of_range`.
    """
    if embeddings_a.shape != embeddings_b.shape:
        raise StatsError(
            "rows_are_no_pairs",
            f"Queries and gallery must be the same lesions row by row, found {embeddings_a.shape} and "
            f"{embeddings_b.shape}.",
        )
    n = len(embeddings_a)
    if n < 2:
        raise StatsError("too_few_pairs", f"Retrieval needs two lesions or more to choose from, found {n}.")
    ranks = partner_ranks(embeddings_a, embeddings_b)
    at_1, at_10 = int((ranks <= 1).sum()), int((ranks <= 10).sum())
    return RetrievalResult(
        recall_at_1=wilson_interval(at_1, n, confidence=confidence),
        recall_at_10=wilson_interval(at_10, n, confidence=confidence),
        median_rank=float(np.median(ranks)),
        n=n,
        chance_at_1=1.0 / n,
        chance_at_10=min(1.0, 10.0 / n),
    )


def partner_ranks(
    embeddings_a: Float[np.ndarray, "n width"], embeddings_b: Float[np.ndarray, "n width"]
) -> Int64[np.ndarray, "n"]:
    """Rank of each query's partner, from 1; what ties with the partner stands before it.

    Args:
        embeddings_a: queries, (n, D); a row of zeros is equally far from everything.
        embeddings_b: gallery, (n, D).

    Raises:
        StatsError: `not_finite`.
    """
    a, b = (_unit(embeddings) for embeddings in (embeddings_a, embeddings_b))
    cosine = a @ b.T
    partner = np.diag(cosine)
    not_behind = (cosine >= partner[:, None] - TIE).sum(axis=1)  # the partner itself is one of them
    return not_behind.astype(np.int64)


def _unit(embeddings: Float[np.ndarray, "n width"]) -> Float[np.ndarray, "n width"]:
    values = embeddings.astype(np.float64)
    if not np.isfinite(values).all():
        raise StatsError(
            "not_finite", "Embeddings hold values that are no numbers; retrieval is not defined."
        )
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return values / np.where(length > 0, length, 1.0)
