"""Shapley values keep their axioms, and are what the mean over all orders of joining gives."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dgccl.errors import ConfigError
from dgccl.explain.shapley import MAX_PLAYERS, coalitions, shapley_values


def by_orders(worth: np.ndarray) -> np.ndarray:
    """The definition itself: what each player adds, averaged over every order."""
    players = len(worth).bit_length() - 1
    added = np.zeros(players)
    orders = list(permutations(range(players)))
    for order in orders:
        joined = 0
        for player in order:
            added[player] += worth[joined | 1 << player] - worth[joined]
            joined |= 1 << player
    return added / len(orders)


games = st.integers(1, 4).flatmap(lambda m: arrays(np.float64, 2**m, elements=st.floats(-50, 50)))


@given(games)
def test_the_mean_over_all_orders(worth: np.ndarray) -> None:
    found = shapley_values(worth[None])[0]
    np.testing.assert_allclose(found, by_orders(worth), atol=1e-10)
    assert found.sum() == pytest.approx(worth[-1] - worth[0], abs=1e-10)  # efficiency


def test_players_that_add_the_same_get_the_same_and_a_dummy_gets_nothing() -> None:
    # Player 2 never changes anything; 0 and 1 are exchangeable: together 10, alone 2.
    members = coalitions(3)
    worth = np.array([{0: 0.0, 1: 2.0, 2: 10.0}[int(row[:2].sum())] for row in members])
    np.testing.assert_array_equal(shapley_values(worth[None]), [[5.0, 5.0, 0.0]])


def test_two_games_add_up() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 5, 16))
    np.testing.assert_allclose(shapley_values(first + second), shapley_values(first) + shapley_values(second))


def test_coalitions_are_counted_in_binary() -> None:
    np.testing.assert_array_equal(coalitions(2), [[False, False], [True, False], [False, True], [True, True]])
    members = coalitions(MAX_PLAYERS)
    assert members.shape == (1024, 10)
    assert not members[0].any()
    assert members[-1].all()
    # An additive game at the limit: each player gets what it adds.
    value = np.arange(10.0)
    np.testing.assert_allclose(shapley_values((members @ value)[None])[0], value, atol=1e-12)


@pytest.mark.parametrize("players", [0, MAX_PLAYERS + 1])
def test_too_many_are_refused(players: int) -> None:
    with pytest.raises(ConfigError, match=f"{players} modalities; 1 to 10") as caught:
        coalitions(players)
    assert caught.value.code == "too_many_modalities"


def test_a_game_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="2\\^M"):
        shapley_values(np.zeros((1, 3)))
