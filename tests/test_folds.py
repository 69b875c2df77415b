"""Folds by site: a network is never tested on a site that it has seen."""

import numpy as np
import pandas as pd
import pytest

from dgccl.errors import CohortError
from dgccl.folds import split_folds


def table(**changes: object) -> pd.DataFrame:
    n = 48
    patient = np.arange(n) // 2
    lesions = pd.DataFrame(
        {
            "patient_id": [f"P{index}" for index in patient],
            "label": patient % 2,
            "site": np.array(["north", "east", "west"])[patient % 3],
        }
    )
    return lesions.assign(**changes)


def test_a_fold_tests_one_whole_site_and_nothing_of_it_is_seen() -> None:
    lesions = table()
    splits = split_folds(lesions, folds=3, validation_fraction=0.25, seed=4, by="site")
    tested = []
    for split, site in zip(splits, ("east", "north", "west"), strict=True):
        sites = {name: set(lesions["site"].iloc[rows]) for name, rows in split.items()}
        assert sites["test"] == {site}
        assert site not in sites["train"] | sites["validation"]
        patients = [set(lesions["patient_id"].iloc[rows]) for _, rows in split.items()]
        assert sum(map(len, patients)) == len(set.union(*patients)) == 24
        for rows in (split.train, split.validation):
            assert set(lesions["label"].iloc[rows]) == {0, 1}
        tested += split.test.tolist()
    assert sorted(tested) == list(range(len(lesions)))


def test_the_seed_chooses_who_validates_and_the_sites_stay() -> None:
    one, other = (
        split_folds(table(), folds=3, validation_fraction=0.25, seed=seed, by="site") for seed in (1, 2)
    )
    assert [split.test.tolist() for split in one] == [split.test.tolist() for split in other]
    assert [split.validation.tolist() for split in one] != [split.validation.tolist() for split in other]


NORTH = table()["site"] == "north"


@pytest.mark.parametrize(
    ("lesions", "folds", "code"),
    [
        (table(), 4, "folds_not_sites"),
        (table(site="one"), 2, "folds_not_sites"),
        (table(site=table()["site"].where(~NORTH, "")), 3, "site_unclear"),
        (table(site=np.where(np.arange(48) == 0, "west", table()["site"])), 3, "site_unclear"),
        (table(label=np.where(NORTH, table()["label"], 0)), 3, "class_too_small"),
    ],
    ids=["number", "one site", "no site", "two sites", "class of one site"],
)
def test_what_cannot_be_split_by_site(lesions: pd.DataFrame, folds: int, code: str) -> None:
    with pytest.raises(CohortError) as caught:
        split_folds(lesions, folds=folds, validation_fraction=0.25, seed=0, by="site")
    assert caught.value.code == code
