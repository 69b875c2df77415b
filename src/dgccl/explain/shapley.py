"""Exact Shapley values of small games: what each player adds, averaged over every order in which they can join."""

from math import factorial

import numpy as np
from jaxtyping import Bool, Float64

from dgccl.errors import ConfigError

MAX_PLAYERS = 10
"""More players than this are refused: the number of coalitions, 2^M, is the number of times a network is asked."""


def coalitions(players: int) -> Bool[np.ndarray, "coalition player"]:
    """Every coalition of M players, in the order in which `shapley_values` wants their worth.

    Args:
        players: M, from 1 to `MAX_PLAYERS`.

    Returns:
        (2^M, M); coalition k holds player i where bit i of k is set, so the first is empty and the last holds all.

    Raises:
        ConfigError: `too_many_modalities`, there are more players than can be enumerated.
    """
    if not 1 <= players <= MAX_PLAYERS:
        raise ConfigError(
            "too_many_modalities",
            f"Exact Shapley shares were asked for {players} modalities; 1 to {MAX_PLAYERS} can be enumerated "
            f"(2^{MAX_PLAYERS} = {2**MAX_PLAYERS} coalitions a lesion).",
            remedy="Join modalities that belong together into one table, or explain a run with fewer of them.",
        )
    return (np.arange(2**players)[:, None] >> np.arange(players)) % 2 == 1


def shapley_values(worth: Float64[np.ndarray, "game coalition"]) -> Float64[np.ndarray, "game player"]:
    """Shapley value of every player in some games.

    The shares of a game sum to its worth of all less its worth of none; players that always add the same get the
    same, and a player that never adds anything gets 0.

    Args:
        worth: (n, 2^M), in the order of `coalitions`.

    Returns:
        (n, M).

    Raises:
        ConfigError: `too_many_modalities`.
        ValueError: the number of coalitions is no power of two.

    Source: Shapley 1953, A value for n-person games; with features as players Lundberg and Lee 2017,
        arXiv:1705.07874, equation 4.
    """
    players = worth.shape[1].bit_length() - 1
    if worth.shape[1] != 2**players:
        raise ValueError(f"worth needs 2^M columns, found {worth.shape[1]}")
    members = coalitions(players)
    index, sizes = np.arange(2**players), members.sum(axis=1)
    shares = np.empty((len(worth), players))
    for player in range(players):
        without = index[~members[:, player]]
        orders = [factorial(size) * factorial(players - size - 1) for size in sizes[without].tolist()]
        weights = np.array(orders, dtype=np.float64) / factorial(players)
        shares[:, player] = (worth[:, without + 2**player] - worth[:, without]) @ weights
    return shares
