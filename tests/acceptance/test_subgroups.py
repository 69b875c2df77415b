"""Gates by group of lesions: every group that is large enough is judged, and what is not judged is limited."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dgccl import stats

from .conftest import MakeRun, judged, separated


def of_cohort(run: Path) -> pd.DataFrame:
    """Test predictions with the cohort's columns."""
    rows = pd.read_parquet(run / "predictions.parquet")
    chosen = (rows["model"] == "new") & (rows["split"] == "test") & (rows["pattern"] == "ct+pet")
    cohort = pd.read_csv(run.parent / "cohort" / "lesions.csv", keep_default_na=False)
    return rows.loc[chosen].drop(columns="site").merge(cohort.drop(columns="patient_id"), on="lesion_id")


def area(rows: pd.DataFrame) -> stats.Estimate:
    patient, stratum = rows["patient_id"].to_numpy().astype(str), rows["fold"].to_numpy()
    return stats.auroc_delong(
        rows["y_true"].to_numpy(),
        rows["y_score"].to_numpy(),
        patient=patient,
        stratum=stratum,
        method="logit",
    )


def upside_down_at(site: str) -> Callable[[pd.DataFrame], None]:
    """Makes the scores of one site wrong; a site is dealt by the place within the class, as `cohort_table` does."""

    def edit(rows: pd.DataFrame) -> None:
        place = rows["lesion_id"].str[1:].astype(int) % 72
        theirs = np.array(["north", "south", "west"])[place // 4 % 3] == site
        rows.loc[theirs, "y_score"] = 1.0 - rows.loc[theirs, "y_score"]

    return edit


def test_each_subgroup_is_held_against_the_floor(make_run: MakeRun) -> None:
    run = make_run()
    found = judged(run, "subgroup_floor", by="site", floor=0.6)
    rows = of_cohort(run)
    assert [part.name for part in found.parts] == ["north", "south", "west"]
    for part in found.parts:
        expected = area(rows.loc[rows["site"] == part.name])
        assert (part.figure, part.ci_low, part.n) == (expected.estimate, expected.ci_low, 48)
    assert (found.passed, found.details["ungated"]) == (True, 0)
    assert found.ci_low == min(part.ci_low for part in found.parts if part.ci_low is not None)
    higher = judged(run, "subgroup_floor", by="site", floor=found.ci_low + 1e-6)
    assert [part.name for part in higher.parts if not part.passed] == [found.details["worst"]]
    assert not higher.passed


def test_one_bad_site_fails_a_good_cohort(make_run: MakeRun) -> None:
    run = make_run(predictions=upside_down_at("south"))
    assert judged(run, "auroc_floor", floor=0.5).passed
    found = judged(run, "subgroup_floor", by="site", floor=0.5)
    assert not found.passed
    assert found.details["worst"] == "south"
    assert found.reason.startswith("south: ")


@pytest.mark.parametrize(("by", "edges"), [("age_years", [50, 65]), ("diameter_mm", [12.5, 20.0])])
def test_bands_of_a_number(make_run: MakeRun, by: str, edges: list[float]) -> None:
    run = make_run()
    sizes = {"min_lesions": 10, "min_of_class": 3, "max_ungated_share": 0.3}
    found = judged(run, "subgroup_floor", by=by, edges=edges, floor=0.3, **sizes)
    values = of_cohort(run)[by]
    low, high = edges
    counts = [(values < low).sum(), ((values >= low) & (values < high)).sum(), (values >= high).sum()]
    assert [part.name for part in found.parts] == [
        f"below {low:g}",
        f"{low:g} to below {high:g}",
        f"{high:g} and above",
    ]
    # Lesions that stand alone with their class in their fold are compared with none.
    assert all(part.n <= count for part, count in zip(found.parts, counts, strict=True))
    assert found.details["ungated"] == len(values) - sum(part.n for part in found.parts)
    assert found.passed, found.reason


def test_small_subgroups_are_named_and_limited(make_run: MakeRun) -> None:
    def a_small_site(cohort: pd.DataFrame) -> None:
        cohort.loc[cohort.index % 9 == 0, "site"] = "far"

    run = make_run(cohort=a_small_site)
    found = judged(run, "subgroup_floor", by="site", floor=0.5, max_ungated_share=0.3)
    assert found.details["too_small"] == ["far"]
    assert found.passed, found.reason
    assert "too small to judge: far" in found.reason
    (far,) = (part for part in found.parts if part.name == "far")
    assert (far.passed, far.figure) == (None, None)
    share = found.details["ungated_share"]
    assert share == found.details["ungated"] / 144 > 0.1
    stricter = judged(run, "subgroup_floor", by="site", floor=0.5, max_ungated_share=share - 0.01)
    assert not stricter.passed
    assert "got no verdict" in stricter.reason


def test_lesions_that_are_compared_with_none_count_as_not_judged(make_run: MakeRun) -> None:
    """Women have one class in each fold: 72 lesions, and not one pair to compare."""

    def by_fold(cohort: pd.DataFrame) -> None:
        fold = cohort.groupby("label").cumcount() % 4
        cohort["sex"] = np.where((fold % 2 == 0) == (cohort["label"] == 1), "F", "M")

    found = judged(make_run(cohort=by_fold), "subgroup_floor", by="sex", floor=0.0)
    assert (found.passed, found.details["ungated"]) == (False, 144)


def test_what_is_not_recorded_is_a_subgroup_of_its_own(make_run: MakeRun) -> None:
    def gaps(cohort: pd.DataFrame) -> None:
        cohort.loc[cohort.index % 2 == 0, "age_years"] = np.nan
        cohort.loc[cohort["site"] == "west", "site"] = " N/A "

    run = make_run(cohort=gaps)
    ages = judged(
        run, "subgroup_floor", by="age_years", edges=[60], floor=0.3, min_lesions=10, min_of_class=3
    )
    assert [part.name for part in ages.parts] == ["below 60", "60 and above", "not recorded"]
    assert ages.parts[-1].n == 72
    sites = judged(run, "subgroup_floor", by="site", floor=0.3)
    assert [part.name for part in sites.parts] == ["north", "south", "not recorded"]


def test_a_column_that_nobody_recorded_cannot_be_judged(make_run: MakeRun) -> None:
    found = judged(
        make_run(cohort=lambda cohort: cohort.assign(sex="")), "subgroup_floor", by="sex", floor=0.0
    )
    assert (found.passed, found.assessed) == (False, False)
    assert "[not_recorded]" in found.reason


def test_one_subgroup_compares_nothing(make_run: MakeRun) -> None:
    run = make_run(cohort=lambda cohort: cohort.assign(sex="F"))
    found = judged(run, "subgroup_floor", by="sex", floor=0.5)
    assert not found.passed
    assert "1 subgroups by sex could be judged, 2 are needed" in found.reason
    assert judged(run, "subgroup_floor", by="sex", floor=0.5, min_subgroups=1).passed


def test_spellings_of_one_value_are_one_subgroup(make_run: MakeRun) -> None:
    def spellings(cohort: pd.DataFrame) -> None:
        cohort.loc[cohort.index % 2 == 0, "scanner"] = cohort["scanner"].str.upper() + " "

    found = judged(make_run(cohort=spellings), "subgroup_floor", by="scanner", floor=0.5)
    assert len(found.parts) == 2
    assert sum(part.n for part in found.parts) == 144


def test_a_cohort_without_the_lesions_cannot_be_judged(make_run: MakeRun) -> None:
    def other(rows: pd.DataFrame) -> None:
        rows["lesion_id"] = rows["lesion_id"].replace("L003", "X003")

    run = make_run(predictions=other, fold_table=other)
    found = judged(run, "subgroup_floor", by="sex", floor=0.0)
    assert (found.passed, found.assessed) == (False, False)
    assert "[lesions_not_in_cohort]" in found.reason


# Leave one site out


def by_site(lesions: pd.DataFrame) -> None:
    """A fold a site, as `cohort_table` deals sites when there are 3 folds."""
    lesions["fold"] = lesions.groupby("y_true").cumcount() // 3 % 3


def test_networks_that_never_saw_a_site_are_judged_there(make_run: MakeRun) -> None:
    run = make_run(lesions=by_site, folds=3)
    found = judged(run, "leave_one_site_out", floor=0.6)
    assert found.passed, found.reason
    rows = of_cohort(run)
    assert (rows.groupby("site")["fold"].nunique() == 1).all()
    for part in found.parts:
        assert part.figure == pytest.approx(area(rows.loc[rows["site"] == part.name]).estimate, abs=1e-12)
    assert not judged(run, "leave_one_site_out", floor=0.95).passed


def test_folds_that_mix_sites_fail_with_what_to_do(make_run: MakeRun) -> None:
    found = judged(make_run(), "leave_one_site_out", floor=0.0)
    assert (found.passed, found.assessed) == (False, False)
    assert "144 of 144 test lesions, of 3 of 3 sites" in found.reason
    assert 'fold_by = "site" and folds = 3' in found.reason


@pytest.mark.parametrize("split", ["train", "validation"])
def test_one_lesion_of_the_site_in_training_is_enough_to_fail(make_run: MakeRun, split: str) -> None:
    def one_slips(folds: pd.DataFrame) -> None:
        folds.loc[folds["lesion_id"] == "L000", "split"] = [
            split if fold == 0 else "test" for fold in range(3)
        ]

    def its_site(cohort: pd.DataFrame) -> None:
        cohort.loc[cohort["lesion_id"] == "L000", "site"] = "SOUTH"

    # The lesion is of a site that is tested in another fold: the cohort says so, whatever the fold table says.
    run = make_run(lesions=by_site, folds=3, cohort=its_site)
    found = judged(run, "leave_one_site_out", floor=0.0)
    assert (found.passed, found.assessed) == (False, False)
    assert "folds_not_by_site" in found.reason


def test_a_patient_brings_every_site_of_its_lesions(make_run: MakeRun) -> None:
    """A patient who trains with a lesion of one hospital and has another lesion from the tested one."""

    def two_hospitals(cohort: pd.DataFrame) -> None:
        cohort.loc[cohort["lesion_id"] == "L000", "patient_id"] = "P003"

    run = make_run(lesions=by_site, folds=3, cohort=two_hospitals)
    assert "folds_not_by_site" in judged(run, "leave_one_site_out", floor=0.0).reason


@pytest.mark.parametrize(("site", "code"), [("", "site_not_recorded"), ("only", "one_site")])
def test_sites_must_be_known_and_several(make_run: MakeRun, site: str, code: str) -> None:
    def edit(cohort: pd.DataFrame) -> None:
        cohort.loc[(cohort.index == 0) if code == "site_not_recorded" else (cohort.index >= 0), "site"] = site

    found = judged(make_run(lesions=by_site, folds=3, cohort=edit), "leave_one_site_out", floor=0.0)
    assert (found.passed, found.assessed) == (False, False)
    assert f"[{code}]" in found.reason


def test_a_poor_site_fails(make_run: MakeRun) -> None:
    def poor(rows: pd.DataFrame) -> None:
        rows.loc[rows["fold"] == 1, "y_score"] = 1.0 - rows.loc[rows["fold"] == 1, "y_score"]

    run = make_run(lesions=by_site, folds=3, predictions=poor, scores={"new": separated(2.0, seed=1)})
    found = judged(run, "leave_one_site_out", floor=0.5)
    assert (found.passed, found.details["worst"]) == (False, "south")
