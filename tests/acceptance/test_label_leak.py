"""The class must not be told by site, scanner and the like; a small cohort neither passes nor fails for its size."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from dgccl.acceptance.label_leak import _own_folds
from dgccl.acceptance.metadata import class_probabilities, levels_of, one_hot
from dgccl.errors import StatsError

from .conftest import EditTable, MakeRun, judged

RULE = "label_not_implied"


def leaking(column: str, share: float, *, seed: int = 0) -> EditTable:
    """A column that names the class of this share of the lesions, and the other class of the rest."""

    def edit(cohort: pd.DataFrame) -> None:
        right = np.random.default_rng(seed).random(len(cohort)) < share
        cohort[column] = np.where((cohort["label"] == 1) == right, "A", "B")

    return edit


def test_a_sound_cohort_passes_and_says_what_is_not_excluded(make_run: MakeRun) -> None:
    found = judged(make_run(), RULE, max_auroc=0.65)
    assert found.passed, found.reason
    assert found.figure is not None
    assert found.ci_high is not None
    assert found.figure <= 0.65
    assert (found.n, found.method) == (144, "stratified_logit_delong")
    assert f"{found.ci_high:.4f} is not excluded" in found.reason
    assert [part.name for part in found.parts] == [
        "site", "scanner", "manufacturer", "ct_slice_spacing_mm", "ct_pixel_spacing_mm", "pet_slice_spacing_mm",
        "pet_pixel_spacing_mm", "uptake_time_min", "images",
    ]  # fmt: skip
    assert found.details["strongest_column"] in {part.name for part in found.parts}


def test_the_upper_end_counts_where_it_is_asked_for(make_run: MakeRun) -> None:
    run = make_run()
    upper = judged(run, RULE, max_auroc=0.65).ci_high
    assert upper is not None
    assert judged(run, RULE, max_auroc=0.65, max_upper=max(0.65, upper + 0.001)).passed
    narrow = judged(run, RULE, max_auroc=0.6, max_upper=upper - 0.001)
    assert not narrow.passed
    assert "the upper end" in narrow.reason


@pytest.mark.parametrize("column", ["site", "scanner", "manufacturer"])
def test_a_label_implied_by_a_word_fails_outright(make_run: MakeRun, column: str) -> None:
    found = judged(make_run(cohort=leaking(column, 1.0)), RULE, max_auroc=0.99)
    assert not found.passed
    assert found.details["strongest_column"] == column
    (part,) = (part for part in found.parts if part.name == column)
    assert part.reason == "implies the class exactly: A (72 patients, class 1), B (72 patients, class 0)"
    assert part.figure == 1.0


def test_a_label_implied_by_what_exists_fails(make_run: MakeRun) -> None:
    """Benign lesions come from a hospital without PET."""

    def no_pet(lesions: pd.DataFrame) -> None:
        lesions["has_pet"] = lesions["y_true"] == 1

    found = judged(make_run(lesions=no_pet), RULE, max_auroc=0.99)
    (part,) = (part for part in found.parts if part.name == "images")
    assert part.reason.startswith("implies the class exactly: ct (72 patients, class 0), ct+pet")


def test_a_label_implied_by_a_site_that_is_held_out_fails(make_run: MakeRun) -> None:
    """Every fold is a site and has one class, which leaves the run without an AUC: the gate has folds of its own."""

    def by_class(lesions: pd.DataFrame) -> None:
        lesions["fold"] = 2 * (lesions["fold"] % 2) + lesions["y_true"]

    def sites(cohort: pd.DataFrame) -> None:
        cohort["site"] = np.where(cohort["label"] == 1, "A", "B")

    run = make_run(lesions=by_class, cohort=sites)
    found = judged(run, RULE, max_auroc=0.99)
    assert (found.passed, found.assessed, found.figure) == (False, True, 1.0)
    assert found.reason.startswith("site: implies the class exactly: A (72 patients, class 1)")
    sound = judged(run, RULE, max_auroc=0.99, columns=["scanner"])
    assert sound.passed, sound.reason


PATIENTS_OF_SITES = {"A": (61, 0), "B": (0, 59), "C": (22, 18)}
"""Benign and malignant: two sites of one class each, and one that is mixed."""


def by_site(shares: dict[str, tuple[int, int]]) -> tuple[EditTable, EditTable]:
    """Lesions and cohort with a fold for each site; `shares` says how many benign and malignant ones a site has."""
    names = {
        label: np.repeat(list(shares), [counts[label] for counts in shares.values()]) for label in (0, 1)
    }
    fold = {name: place for place, name in enumerate(shares)}

    def lesions(table: pd.DataFrame) -> None:
        place = table.groupby("y_true").cumcount()
        table["fold"] = [
            fold[names[label][index]] for label, index in zip(table["y_true"], place, strict=True)
        ]

    def cohort(table: pd.DataFrame) -> None:
        place = table.groupby("label").cumcount()
        table["site"] = [names[label][index] for label, index in zip(table["label"], place, strict=True)]
        table["scanner"] = table["site"].str.lower()  # each site has its own: told apart by it just as well

    return lesions, cohort


@pytest.mark.parametrize("column", ["site", "scanner"])
def test_sites_of_one_class_fail_where_each_fold_is_a_site(make_run: MakeRun, column: str) -> None:
    """Within a fold the site is constant, and no AUC within the run's folds shows that it tells nearly every class."""
    lesions, cohort = by_site(PATIENTS_OF_SITES)
    run = make_run(lesions=lesions, cohort=cohort, benign=83, malignant=77)
    found = judged(run, RULE, max_auroc=0.7, columns=[column])
    assert (found.passed, found.assessed) == (False, True)
    assert found.figure is not None
    assert found.figure > 0.95
    assert "all columns together have an AUC above 0.7" in found.reason
    assert "folds by patient of this gate's own, seed 2026" in found.reason
    assert {key: found.details[key] for key in ("folds", "folds_by", "folds_seed")} == {
        "folds": 5, "folds_by": "patient", "folds_seed": 2026,
    }  # fmt: skip


def test_sites_of_alike_shares_pass_where_each_fold_is_a_site(make_run: MakeRun) -> None:
    lesions, cohort = by_site({"A": (31, 29), "B": (30, 29), "C": (22, 19)})
    found = judged(
        make_run(lesions=lesions, cohort=cohort, benign=83, malignant=77),
        RULE,
        max_auroc=0.7,
        columns=["site"],
    )
    assert found.passed, found.reason


def test_the_runs_folds_have_no_part_in_the_verdict(make_run: MakeRun) -> None:
    run = make_run(cohort=leaking("scanner", 0.8), per_patient=2)
    first = judged(run, RULE, max_auroc=0.65)
    folds = pd.read_csv(run / "folds.csv")
    folds.assign(fold=folds["fold"].max() - folds["fold"]).sample(frac=1.0, random_state=1).to_csv(
        run / "folds.csv", index=False
    )
    assert judged(run, RULE, max_auroc=0.65) == first


def test_own_folds_keep_a_patient_together_and_deal_the_classes_alike() -> None:
    rows = pd.DataFrame(
        {
            "lesion_id": [f"L{index}" for index in range(66)],
            "patient_id": [f"p{index // 2}" for index in range(66)],
            "y_true": np.repeat([0, 1], [40, 26]),
        }
    )
    fold = _own_folds(rows)
    assert (fold == _own_folds(rows)).all()
    by_patient = (
        rows.assign(fold=fold).groupby("patient_id").agg(fold=("fold", "unique"), label=("y_true", "max"))
    )
    assert (by_patient["fold"].map(len) == 1).all()
    spread = pd.crosstab(by_patient["fold"].map(lambda values: values[0]), by_patient["label"])
    assert spread.shape == (5, 2)
    assert (spread.max() - spread.min()).max() <= 1
    few = rows.loc[rows["patient_id"].isin(["p0", "p1", "p2", "p20", "p21"])].reset_index(drop=True)
    assert sorted(set(_own_folds(few).tolist())) == [0, 1]
    with pytest.raises(StatsError) as caught:
        _own_folds(few.loc[few["patient_id"] != "p21"])
    assert caught.value.code == "too_few_cases"


def test_a_label_implied_by_a_number_fails(make_run: MakeRun) -> None:
    """Malignant lesions were imaged later: every time is another, so no value implies anything by itself."""

    def later(cohort: pd.DataFrame) -> None:
        cohort["uptake_time_min"] = 55.0 + 0.05 * np.arange(len(cohort)) + 10.0 * cohort["label"]

    found = judged(make_run(cohort=later), RULE, max_auroc=0.65)
    assert not found.passed
    assert found.details["strongest_column"] == "uptake_time_min"
    (part,) = (part for part in found.parts if part.name == "uptake_time_min")
    assert part.reason.startswith("AUC above 0.65 and more than chance")


def test_a_strong_tendency_fails(make_run: MakeRun) -> None:
    found = judged(make_run(cohort=leaking("scanner", 0.8)), RULE, max_auroc=0.65)
    assert not found.passed
    assert found.details["strongest_column"] == "scanner"
    assert found.details["p_holm"]["scanner"] < 1e-6


def test_two_columns_that_imply_the_class_only_together_fail(make_run: MakeRun) -> None:
    """Either column alone is dealt alike to both classes; it takes both to tell."""

    def together(cohort: pd.DataFrame) -> None:
        site = np.arange(len(cohort)) // 4 % 2
        cohort["site"] = np.where(site == 1, "A", "B")
        cohort["scanner"] = np.where(site == cohort["label"], "one", "two")

    run = make_run(cohort=together, malignant=144, benign=144)
    found = judged(run, RULE, max_auroc=0.65, columns=["site", "scanner"])
    assert not found.passed
    assert "all columns together have an AUC above 0.65" in found.reason
    assert all(part.passed for part in found.parts)


def small(**counts: int) -> dict:
    return {"malignant": 12, "benign": 12, "folds": 3} | counts


def test_a_small_cohort_does_not_pass_for_its_wide_interval(make_run: MakeRun) -> None:
    """24 lesions, three in four of them named by the scanner: the lower end is below the limit, the estimate is not."""
    found = judged(make_run(cohort=leaking("scanner", 0.8, seed=3), **small()), RULE, max_auroc=0.65)
    assert found.ci_low is not None
    assert found.ci_low < 0.65
    assert not found.passed


def test_a_small_cohort_does_not_fail_for_its_wide_interval(make_run: MakeRun) -> None:
    found = judged(make_run(**small()), RULE, max_auroc=0.6)
    assert found.ci_high is not None
    assert found.ci_high > 0.6
    assert found.passed, found.reason


def test_lesions_of_a_patient_count_once_as_evidence(make_run: MakeRun) -> None:
    """Two patients a scanner: many lesions, and no evidence that the scanner implies the class."""

    def two_patients_each(cohort: pd.DataFrame) -> None:
        patient = cohort["patient_id"].str[1:].astype(int)
        cohort["scanner"] = [f"S{number // 2}" for number in patient]

    run = make_run(cohort=two_patients_each, per_patient=6, malignant=72, benign=72)
    found = judged(run, RULE, max_auroc=0.99, columns=["scanner"])
    (part,) = found.parts
    assert "implies" not in part.reason
    few = judged(run, RULE, max_auroc=0.99, columns=["scanner"], min_patients=2)
    assert "implies the class exactly" in few.parts[0].reason


def test_a_value_of_one_class_is_told_where_others_are_mixed(make_run: MakeRun) -> None:
    def one_clinic(cohort: pd.DataFrame) -> None:
        first = cohort.index[cohort["label"] == 1][:8]
        cohort.loc[first, "site"] = "surgery"

    found = judged(make_run(cohort=one_clinic), RULE, max_auroc=0.65)
    assert found.details["values_of_one_class"] == {"site": ["surgery (8 patients, class 1)"]}
    assert found.passed, found.reason


def without(*columns: str) -> Callable[[pd.DataFrame], None]:
    def edit(cohort: pd.DataFrame) -> None:
        for column in columns:
            cohort[column] = np.nan if column.endswith(("_mm", "_min")) else ""

    return edit


def test_a_column_that_was_asked_for_must_be_recorded(make_run: MakeRun) -> None:
    run = make_run(cohort=without("scanner", "uptake_time_min"))
    asked = judged(run, RULE, max_auroc=0.65, columns=["site", "scanner"])
    assert (asked.passed, asked.assessed) == (False, False)
    assert "records scanner of no lesion" in asked.reason
    # Of those that were not asked for by name, what is recorded is judged, and the result says what that was.
    found = judged(run, RULE, max_auroc=0.65)
    assert found.passed
    assert {"scanner", "uptake_time_min"}.isdisjoint(found.details["columns"])


def test_what_is_not_recorded_can_tell_the_class_too(make_run: MakeRun) -> None:
    def gaps(cohort: pd.DataFrame) -> None:
        cohort.loc[cohort["label"] == 0, "uptake_time_min"] = np.nan
        cohort.loc[cohort["label"] == 1, "uptake_time_min"] = 60.0

    found = judged(make_run(cohort=gaps), RULE, max_auroc=0.65, columns=["uptake_time_min"])
    assert "not recorded (72 patients, class 0)" in found.parts[0].reason


def test_three_classes(make_run: MakeRun) -> None:
    def three(lesions: pd.DataFrame) -> None:
        lesions["y_true"] = np.arange(len(lesions)) % 3
        lesions["fold"] = np.random.default_rng(0).integers(4, size=len(lesions))

    def implied(cohort: pd.DataFrame) -> None:
        cohort["site"] = np.array(["x", "y", "z"])[cohort["label"]]

    run = make_run(lesions=three, cohort=implied, class_names=("a", "b", "c"))
    found = judged(run, RULE, max_auroc=0.65)
    assert not found.passed
    assert "implies the class exactly" in found.parts[0].reason
    assert found.figure == pytest.approx(1.0, abs=0.02)
    alone = judged(run, RULE, max_auroc=0.65, columns=["manufacturer"])
    assert (alone.passed, alone.figure) == (True, 0.5)


def test_bands_come_from_what_is_learned() -> None:
    words = pd.Series(
        [f"{value}" for value in range(40)] + [""], index=[f"L{i}" for i in range(41)], dtype="str"
    )
    learn = [f"L{i}" for i in range(20)]
    levels = levels_of(words, "uptake_time_min", learn=learn)
    assert levels.loc[learn].value_counts().tolist() == [4] * 5
    assert levels["L40"] == ""
    assert levels["L39"] == levels["L19"]  # beyond what was learned: the outermost band
    same = levels_of(words, "site", learn=learn)
    assert same.equals(words)


def test_a_level_that_was_never_seen_says_nothing() -> None:
    words = pd.Series(["a", "b", "a", "b", "c"], index=list("vwxyz"), dtype="str")
    inputs = one_hot([words], learn=list("vwxy"))
    assert inputs.tolist() == [[1, 0], [0, 1], [1, 0], [0, 1], [0, 0]]
    labels = np.array([0, 1, 0, 1, 0])
    learn, test = np.arange(4), np.arange(5)
    found = class_probabilities(inputs, labels, learn=learn, test=test, classes=2, trees=False)
    assert found.sum(axis=1) == pytest.approx(1.0)
    assert found[0, 1] < found[4, 1] < found[1, 1]
