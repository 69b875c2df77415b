"""Groups of lesions by what the cohort records of them: words in one spelling, numbers in bands."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from dgccl.csv_table import MISSING

NOT_RECORDED = "not recorded"
NUMERIC_COLUMNS = ("age_years", "diameter_mm")


def groups_of(values: pd.Series, *, edges: Sequence[float]) -> list[tuple[str, pd.Series]]:
    """Names of groups, each with which of the lesions are in it; those without a recorded value come last.

    Args:
        values: a column of the lesion table; one of `NUMERIC_COLUMNS` is cut into bands.
        edges: limits of the bands; a value on an edge is in the band above it.

    Returns:
        Groups that have a lesion, each with a column of booleans like `values`.
    """
    if values.name in NUMERIC_COLUMNS:
        names, order = _bands(values, edges), _band_names(edges)
    else:
        names = recorded_words(values)
        order = sorted(set(names) - {""})
    found = [(name or NOT_RECORDED, names == name) for name in [*order, ""]]
    return [(name, chosen) for name, chosen in found if chosen.any()]


def recorded_words(values: pd.Series) -> pd.Series:
    """Entries of a column of words, stripped, in one spelling of upper and lower case; empty where not recorded."""
    words = values.astype("str").str.strip()
    keys = words.str.casefold()
    first = words.sort_values().groupby(keys).first()
    return keys.map(first).where(~keys.isin(MISSING), "")


def _band_names(edges: Sequence[float]) -> list[str]:
    middle = [f"{low:g} to below {high:g}" for low, high in pairwise(edges)]
    return [f"below {edges[0]:g}", *middle, f"{edges[-1]:g} and above"]


def _bands(values: pd.Series, edges: Sequence[float]) -> pd.Series:
    """Name of each value's band, empty where there is no value."""
    numbers = values.to_numpy(np.float64)
    names = np.array(_band_names(edges), dtype=object)[np.searchsorted(edges, numbers, side="right")]
    return pd.Series(np.where(np.isnan(numbers), "", names), index=values.index, dtype="str")
