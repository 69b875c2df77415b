"""Published nodule models on the page: the run's own model below each, on the same lesions."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dgccl.evaluation import evaluate
from dgccl.report import text
from dgccl.report.clinical_section import clinical_section
from dgccl.report.run_files import RunFiles, read_run
from dgccl.report.sketch import drawn


def with_predictors(lesions: pd.DataFrame) -> pd.DataFrame:
    """What all three models need; every seventh lesion lacks its uptake, which only Herder asks for."""
    rng = np.random.default_rng(3)
    n = len(lesions)
    uptake = rng.choice(["none", "faint", "moderate", "intense"], n)
    columns = {
        "smoking": rng.choice(["never", "former"], n),
        "cancer_history": rng.choice(["yes", "no"], n),
        "spiculation": rng.choice(["yes", "no"], n),
        "lobe": rng.choice(["upper", "lower"], n),
        "sex": rng.choice(["F", "M"], n),
        "family_history": "no",
        "emphysema": rng.choice(["yes", "no"], n),
        "nodule_type": rng.choice(["solid", "part-solid"], n),
        "nodule_count": 1,
        "fdg_uptake": np.where(np.arange(n) % 7 == 0, "", uptake),
        "age_years": rng.uniform(45, 80, n),
    }
    return lesions.assign(**columns)


@pytest.fixture(scope="module")
def run(make_run: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> RunFiles:
    made = make_run(tmp_path_factory.mktemp("clinical"), lesions=120, models=("dgccl",))
    evaluate(made.folder, lesions=with_predictors(made.cohort.lesions))
    return read_run(made.folder)


def test_the_own_model_stands_below_each_on_as_many_lesions(run: RunFiles) -> None:
    discrimination, calibration, calls = clinical_section(run).tables
    names = [row[0] for row in discrimination.rows]
    own = "DG-CCL, on the same lesions"
    assert names == ["Mayo (Swensen)", own, "Herder", own, "Brock (PanCan)", own]
    counts = [int(row[-1]) for row in discrimination.rows]
    assert counts[0::2] == counts[1::2]
    assert counts[2] < counts[0]
    assert [row[0] for row in calibration.rows] == names
    for entry, row in zip(run.results["clinical"]["models"], discrimination.rows[::2], strict=True):
        assert row[1] == text.estimate(entry["auroc"])
        assert row[3:5] == (
            text.p_value(entry["difference"]["p"]),
            text.p_value(entry["difference"]["p_holm"]),
        )
    assert "uncorrected" not in discrimination.note
    assert [row[:2] for row in calls.rows[::2]] == [
        ("Mayo (Swensen)", "5%"), ("Mayo (Swensen)", "65%"), ("Herder", "10%"), ("Herder", "70%"),
        ("Brock (PanCan)", "10%"),
    ]  # fmt: skip
    assert {row[0] for row in calls.rows[1::2]} == {own}
    for table in (discrimination, calibration, calls):
        assert {len(row) for row in table.rows} == {len(table.header)}


def test_headers_do_not_crowd(run: RunFiles) -> None:
    """A table of more columns than this breaks its words on a page."""
    assert all(len(table.header) <= 6 for table in clinical_section(run).tables)


def test_each_is_drawn_beside_the_own_model(run: RunFiles) -> None:
    sketches = {sketch.name: sketch for sketch in clinical_section(run).sketches}
    assert list(sketches) == [
        "calibration-mayo",
        "calibration-herder",
        "calibration-brock",
        "decision-clinical",
    ]
    herder = run.results["clinical"]["models"][1]
    sketch = sketches["calibration-herder"]
    assert f"on the {herder['auroc']['n']} test lesions that both judge" in sketch.caption
    assert set(sketch.data["score"]) == {"dgccl", "herder"}
    bins = sketch.data.query("score == 'dgccl' and kind == 'bin'")
    assert bins["observed"].tolist() == herder["beside_calibration"]["bins"]["observed"]
    assert "Herder" in drawn(sketch).svg
    assert set(sketches["decision-clinical"].data["score"]) == {
        "dgccl",
        "mayo",
        "herder",
        "brock",
        "act on everyone",
    }


def test_results_of_before_show_what_they_hold(run: RunFiles, tmp_path: Path) -> None:
    results = json.loads(json.dumps(run.results))
    for model in results["clinical"]["models"]:
        model.update(beside_auroc=None, beside_calibration=None, calls=[])
    section = clinical_section(dataclasses.replace(run, results=results))
    assert [row[0] for row in section.tables[0].rows] == ["Mayo (Swensen)", "Herder", "Brock (PanCan)"]
    assert len(section.tables) == 2
    assert any("dgccl evaluate" in note for note in section.notes)
    assert [sketch.name for sketch in section.sketches] == ["decision-clinical"]
