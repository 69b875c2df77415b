"""The first model in groups of lesions, to be looked at; gates with floors of their own are `dgccl.acceptance`'s."""

import numpy as np
import pandas as pd

from dgccl.evaluation.areas import auroc, first_model
from dgccl.evaluation.figure import Figure
from dgccl.evaluation.lesion_groups import NUMERIC_COLUMNS, groups_of
from dgccl.evaluation.results import Subgroup, Subgroups
from dgccl.evaluation.run_tables import RunTables

COLUMNS = ("sex", "age_years", "diameter_mm", "site", "manufacturer", "scanner")
EDGES = {
    "age_years": (50.0, 65.0, 75.0),
    # Below 8 mm guidelines do not ask for PET (Fleischner 2017); above 30 mm a nodule is called a mass.
    "diameter_mm": (8.0, 20.0, 30.0),
}
OF_CLASS = 5
"""A group with fewer lesions of a class is counted and not looked at: its interval would span nearly all areas."""
TOO_FEW = "too_few"


def subgroups(tables: RunTables, lesions: pd.DataFrame, warnings: list[str]) -> Subgroups:
    """AUROC of the first model in groups by what the cohort records, within folds as the headline.

    Groups are not corrected for their number and not compared: a group whose interval lies apart is a question for
    other data. A column that puts all lesions into one group, or makes the same groups as one before, is left out.

    Args:
        tables: the run.
        lesions: lesion table of its cohort.
        warnings: gets what is not defined, and why.
    """
    model = first_model(tables)
    rows = tables.rows(model, split="test", pattern=tables.full_pattern)
    own = lesions.set_index("lesion_id").loc[rows["lesion_id"]]
    found: list[Subgroup] = []
    seen: set[frozenset[frozenset[int]]] = set()
    for column in (name for name in COLUMNS if name in own):
        values = own[column].set_axis(rows.index)
        if column in NUMERIC_COLUMNS:
            values = pd.to_numeric(values)
        groups = groups_of(values, edges=EDGES.get(column, ()))
        parts = frozenset(frozenset(np.flatnonzero(chosen).tolist()) for _, chosen in groups)
        if len(groups) == 1 or parts in seen:
            continue
        seen.add(parts)
        found += [_subgroup(tables, rows.loc[chosen], column, name, warnings) for name, chosen in groups]
    return Subgroups(model, OF_CLASS, found)


def _subgroup(tables: RunTables, rows: pd.DataFrame, column: str, name: str, warnings: list[str]) -> Subgroup:
    counts = {kind: int((rows["y_true"] == index).sum()) for index, kind in enumerate(tables.class_names)}
    if min(counts.values()) < OF_CLASS:
        area = Figure(None, None, None, TOO_FEW, len(rows))
    else:
        area = auroc(rows, tables.score_columns, f"{column} {name}", warnings)
    return Subgroup(column, name, len(rows), counts, area)
