"""Gate weights and shares by class, by size and by how solid a lesion is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Int64

from dgccl.explain.cohort_level import CohortExplanation
from dgccl.explain.gate_meaning import GATE, SHARE, absolute_shares
from dgccl.explain.resample import DRAWS, Measured, fold_of, mean_of, measure, spearman_of

PART = "absolute_share_"
SOLID_EDGES = (0.25, 0.75)
COVARIATES = {"diameter_mm": "diameter", "solid_fraction": "solid fraction"}


@dataclass(frozen=True)
class GroupMean:
    """Mean of one quantity of one modality over a group of lesions.

    Attributes:
        quantity: `gate` (weight), `shapley` (log odds) or `absolute_share` (|phi_m| / sum |phi|).
        modality: its name.
        by: `class`, `diameter` (tertiles) or `solid_fraction`.
        group: which of its groups, in words.
        mean: over the lesions that have every modality.
    """

    quantity: str
    modality: str
    by: str
    group: str
    mean: Measured


@dataclass(frozen=True)
class Trend:
    """Spearman's correlation, within folds, of one quantity of one modality with a number known of the lesions."""

    quantity: str
    modality: str
    covariate: str
    spearman: Measured


def complete_rows(explained: CohortExplanation) -> pd.DataFrame:
    """The lesions that have every modality, with the columns absolute_share_*."""
    table, names = explained.table, explained.modalities
    shares = absolute_shares(table, names)
    table = table.assign(**{f"{PART}{name}": shares[:, index] for index, name in enumerate(names)})
    return table.loc[table[[f"{SHARE}{name}" for name in names]].notna().all(axis=1)].reset_index(drop=True)


def quantities(table: pd.DataFrame, modalities: Sequence[str]) -> list[str]:
    """`gate` where the model has one, `shapley`, `absolute_share`."""
    has_gate = not table[[f"{GATE}{name}" for name in modalities]].isna().all(axis=None)
    return [GATE.rstrip("_")] * has_gate + [SHARE.rstrip("_"), PART.rstrip("_")]


def group_means(explained: CohortExplanation, *, draws: int = DRAWS) -> list[GroupMean]:
    """Means by class, by tertile of the diameter, and by solid fraction, where these are known.

    Args:
        explained: lesions of one model.
        draws: of the bootstrap.
    """
    table = complete_rows(explained)
    found = []
    for by, groups in lesion_groups(table, explained.class_names).items():
        for group, rows in groups.items():
            part = table.iloc[rows].reset_index(drop=True)
            for quantity in quantities(table, explained.modalities):
                for name in explained.modalities:
                    values = part[f"{quantity}_{name}"].to_numpy(np.float64)
                    mean = measure(part, mean_of(values), method="mean", draws=draws)
                    found.append(GroupMean(quantity, name, by, group, mean))
    return found


def lesion_groups(
    table: pd.DataFrame, class_names: Sequence[str]
) -> dict[str, dict[str, Int64[np.ndarray, "row"]]]:
    """Rows of each group, by what the lesions are grouped by; lesions of which that is not known are in none.

    Args:
        table: explained lesions.
        class_names: in the order of the labels.
    """
    label = table["y_true"].to_numpy()
    groups = {"class": {name: np.flatnonzero(label == index) for index, name in enumerate(class_names)}}
    if "diameter_mm" in table and table["diameter_mm"].nunique() >= 3:
        diameter = table["diameter_mm"].to_numpy(np.float64)
        low, high = np.nanquantile(diameter, (1 / 3, 2 / 3))
        groups["diameter"] = {
            f"below {low:.1f} mm": np.flatnonzero(diameter < low),
            f"{low:.1f} to {high:.1f} mm": np.flatnonzero((diameter >= low) & (diameter <= high)),
            f"above {high:.1f} mm": np.flatnonzero(diameter > high),
        }
    if "solid_fraction" in table and table["solid_fraction"].notna().any():
        solid = table["solid_fraction"].to_numpy(np.float64)
        low, high = SOLID_EDGES
        groups["solid_fraction"] = {
            f"below {low:.0%}": np.flatnonzero(solid < low),
            f"{low:.0%} to {high:.0%}": np.flatnonzero((solid >= low) & (solid <= high)),
            f"above {high:.0%}": np.flatnonzero(solid > high),
        }
    return groups


def trends(explained: CohortExplanation, *, draws: int = DRAWS) -> list[Trend]:
    """Correlation of gate weights and shares with diameter and solid fraction, where these are known.

    Args:
        explained: lesions of one model.
        draws: of the bootstrap.
    """
    table, found = complete_rows(explained), []
    for covariate in COVARIATES:
        if covariate not in table or not table[covariate].notna().any():
            continue
        part = table.loc[table[covariate].notna()].reset_index(drop=True)
        for quantity in quantities(part, explained.modalities):
            for name in explained.modalities:
                measured = _correlation(part, f"{quantity}_{name}", covariate, draws=draws)
                found.append(Trend(quantity, name, covariate, measured))
    return found


def ideal_agreement(explained: CohortExplanation, *, draws: int = DRAWS) -> dict[str, Measured]:
    """Correlation, within folds, of each modality's share with that of the phantom's ideal observer; empty without.

    Args:
        explained: lesions of one model.
        draws: of the bootstrap.
    """
    table = complete_rows(explained)
    return {
        name: _correlation(table, f"{SHARE}{name}", f"ideal_shapley_{name}", draws=draws)
        for name in explained.modalities
        if f"ideal_shapley_{name}" in table
    }


def _correlation(table: pd.DataFrame, first: str, second: str, *, draws: int) -> Measured:
    a, b = (table[column].to_numpy(np.float64) for column in (first, second))
    return measure(table, spearman_of(a, b, fold_of(table)), method="spearman within folds", draws=draws)
