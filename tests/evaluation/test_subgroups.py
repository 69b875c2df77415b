"""AUC in groups of lesions: each as if it were the whole, and nothing said of what is too small."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dgccl import stats
from dgccl.evaluation import evaluate, load_results
from dgccl.evaluation.lesion_groups import groups_of
from dgccl.evaluation.run_tables import read_tables
from dgccl.evaluation.subgroups import OF_CLASS, TOO_FEW

MakeRun = Callable[..., Path]


def lesion_table(run: Path) -> pd.DataFrame:
    """A cohort's lesions in another order than the run's; scanner makes the groups of site under other names."""
    rows = read_tables(run).cohort
    rng = np.random.default_rng(4)
    table = pd.DataFrame({"lesion_id": rows["lesion_id"]})
    table["sex"] = np.where(rng.random(len(rows)) < 0.4, "F", "M")
    table.loc[:3, "sex"] = ""
    table["age_years"] = np.linspace(30.0, 80.0, len(rows))
    table["site"] = np.where(np.arange(len(rows)) % 3 == 0, "north", "south")
    table["scanner"] = np.where(table["site"] == "north", "one", "two")
    table["manufacturer"] = "only"
    return table.sample(frac=1.0, random_state=2)


def test_each_group_is_as_if_it_were_the_whole(make_run: MakeRun) -> None:
    run = make_run(malignant=60, benign=60)
    lesions = lesion_table(run)
    found = evaluate(run, lesions=lesions).subgroups
    assert found is not None
    assert found.model == "dgccl"
    tables = read_tables(run)
    rows = tables.rows("dgccl", split="test", pattern="ct+pet").merge(lesions, on="lesion_id")
    columns = list(dict.fromkeys(group.column for group in found.groups))
    assert columns == [
        "sex",
        "age_years",
        "site",
    ]  # scanner repeats site, and one manufacturer makes no groups
    north = next(group for group in found.groups if group.name == "north")
    own = rows.loc[rows["site_y"] == "north"]
    alone = stats.auroc_delong(
        own["y_true"].to_numpy(), own["y_score"].to_numpy(np.float64), stratum=own["fold"].to_numpy(),
        patient=own["patient_id"].to_numpy().astype(str), method="logit",
    )  # fmt: skip
    assert (north.auroc.estimate, north.auroc.ci_low, north.n) == (alone.estimate, alone.ci_low, len(own))
    for column in columns:
        groups = [group for group in found.groups if group.column == column]
        assert sum(group.n for group in groups) == len(rows)
        assert all(sum(group.n_by_class.values()) == group.n for group in groups)
    assert load_results(run).subgroups == found


def test_a_small_group_is_counted_and_not_looked_at(make_run: MakeRun) -> None:
    run = make_run(malignant=60, benign=60)
    found = evaluate(run, lesions=lesion_table(run)).subgroups
    assert found is not None
    small = next(group for group in found.groups if group.name == "not recorded")
    assert small.column == "sex"
    assert small.n == 4
    assert small.auroc.estimate is None
    assert small.auroc.method == TOO_FEW
    for group in found.groups:
        assert (group.auroc.method == TOO_FEW) == (min(group.n_by_class.values()) < OF_CLASS)


def test_without_lesions_there_are_no_subgroups(make_run: MakeRun) -> None:
    assert evaluate(make_run()).subgroups is None


@pytest.mark.parametrize(
    ("value", "band"), [(7.99, "below 8"), (8.0, "8 to below 20"), (20.0, "20 and above")]
)
def test_a_value_on_an_edge_is_in_the_band_above(value: float, band: str) -> None:
    values = pd.Series([value, np.nan], name="diameter_mm")
    assert [name for name, _ in groups_of(values, edges=(8.0, 20.0))] == [band, "not recorded"]


def test_spellings_are_one_group() -> None:
    values = pd.Series(["North", " north", "NORTH ", "n/a", ""], name="site")
    groups = dict(groups_of(values, edges=()))
    assert groups["NORTH"].tolist() == [True, True, True, False, False]
    assert groups["not recorded"].tolist() == [False, False, False, True, True]
