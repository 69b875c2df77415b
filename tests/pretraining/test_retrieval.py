"""Retrieval against a loop that sorts, its chance level, ties, and what it refuses."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dgccl.errors import StatsError
from dgccl.pretraining.retrieval import partner_ranks, retrieval


def sorted_rank(a: np.ndarray, b: np.ndarray, query: int) -> int:
    """Rank of the partner by sorting, one query at a time."""
    cosines = [float(a[query] @ row / np.linalg.norm(a[query]) / np.linalg.norm(row)) for row in b]
    order = sorted(range(len(b)), key=lambda row: -cosines[row])
    return order.index(query) + 1


@given(n=st.integers(2, 40), width=st.integers(2, 9), seed=st.integers(0, 99))
def test_ranks_are_those_of_sorting(n: int, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(n, width))
    b = a + rng.normal(size=(n, width)) * 2.0
    expected = [sorted_rank(a, b, query) for query in range(n)]
    assert partner_ranks(a, b).tolist() == expected
    found = retrieval(a, b)
    assert found.recall_at_1.estimate == np.mean(np.array(expected) <= 1)
    assert found.recall_at_10.estimate == np.mean(np.array(expected) <= 10)
    assert (found.n, found.median_rank) == (n, np.median(expected))
    scaled = a * rng.uniform(0.1, 9.0, size=(n, 1))
    assert retrieval(scaled, b) == found, "the length of an embedding is of no consequence"


def test_random_embeddings_reach_chance() -> None:
    rng = np.random.default_rng(1)
    n, draws = 60, 40
    found = [retrieval(rng.normal(size=(n, 16)), rng.normal(size=(n, 16))) for _ in range(draws)]
    for level in ("1", "10"):
        chance = getattr(found[0], f"chance_at_{level}")
        mean = np.mean([getattr(result, f"recall_at_{level}").estimate for result in found])
        assert abs(mean - chance) < 4 * np.sqrt(chance * (1 - chance) / (n * draws))
    assert (found[0].chance_at_1, found[0].chance_at_10) == (1 / 60, 1 / 6)


def test_a_perfect_match_is_found_and_ten_of_few_is_everyone() -> None:
    a = np.eye(5, 8, dtype=np.float32)
    found = retrieval(a, 3.0 * a)
    assert (found.recall_at_1.estimate, found.median_rank, found.chance_at_10) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("row", [np.ones(7), np.zeros(7), np.linspace(0.1, 3.3, 7) ** 2])
def test_what_has_collapsed_finds_nothing(row: np.ndarray) -> None:
    same = np.tile(row, (20, 1)).astype(np.float32)
    found = retrieval(same, same)
    assert (found.recall_at_1.estimate, found.recall_at_10.estimate, found.median_rank) == (0.0, 0.0, 20.0)


@pytest.mark.parametrize(
    ("a", "b", "code"),
    [
        (np.ones((3, 2)), np.ones((4, 2)), "rows_are_no_pairs"),
        (np.ones((1, 2)), np.ones((1, 2)), "too_few_pairs"),
        (np.full((3, 2), np.nan), np.ones((3, 2)), "not_finite"),
    ],
)
def test_what_is_not_defined_is_refused(a: np.ndarray, b: np.ndarray, code: str) -> None:
    with pytest.raises(StatsError) as caught:
        retrieval(a, b)
    assert caught.value.code == code
