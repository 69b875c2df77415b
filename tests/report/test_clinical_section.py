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
from dgccl.report import tables, text
from dgccl.report.clinical_section import clinical_section
from dgccl.report.discrimination import discrimination
from dgccl.report.run_files import RunFiles, read_run
from dgccl.report.sketch import drawn
from dgccl.report.style import MODEL_LINES, model_lines
from dgccl.report.trust_section import trust_section


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
    assert "Holm's correction over all paired comparisons of this run" in discrimination.note
    assert [row[:2] for row in calls.rows[::2]] == [
        ("Mayo (Swensen)", "5%"), ("Mayo (Swensen)", "65%"), ("Herder", "10%"), ("Herder", "70%"),
        ("Brock (PanCan)", "10%"),
    ]  # fmt: skip
    assert {row[0] for row in calls.rows[1::2]} == {own}
    for table in (discrimination, calibration, calls):
        assert {len(row) for row in table.rows} == {len(table.header)}


def test_published_models_stand_in_the_main_tables_and_figures(run: RunFiles) -> None:
    """By name, color and figures of their own, wherever the run's models stand with all that they were shown."""
    lines = model_lines([*run.models, *run.comparators])
    titles = ["DG-CCL", "Mayo (Swensen)", "Herder", "Brock (PanCan)"]
    headline = tables.headline(run, lines)
    herder = run.results["comparators"]["herder"]
    counted = f"Herder, {herder['auroc']['n']} of 120 lesions"
    assert [row[0] for row in headline.rows] == [counted if name == "Herder" else name for name in titles]
    assert headline.title == "All models, each on the lesions that it can judge"
    assert headline.rows[2][1:4] == tuple(
        text.estimate(herder[key]) for key in ("auroc", "sensitivity", "specificity")
    )
    assert set(headline.rows[2][4:]) == {"reads no image"}
    assert headline.swatches[1:] == tuple(MODEL_LINES[name][0] for name in ("mayo", "herder", "brock"))
    section = discrimination(run, lines)
    shown = {table.title: table for table in section.tables}
    assert [row[0] for row in shown["Paired comparisons"].rows] == [f"DG-CCL − {name}" for name in titles[1:]]
    assert shown["Calls at the chosen threshold"].rows[2][1:] == tuple(
        str(herder["confusion"][key]) for key in ("tp", "fn", "tn", "fp")
    )
    assert [row[0] for row in shown["By fold"].rows][4:6] == ["Herder, AUC", "Herder, threshold"]
    sketches = {sketch.name: sketch for sketch in section.sketches}
    for name, column in (("roc", "model"), ("precision-recall", "model"), ("folds", "model")):
        assert list(dict.fromkeys(sketches[name].data[column])) == list(lines), name
        assert "Brock (PanCan)" in drawn(sketches[name]).svg


def test_published_models_stand_among_probabilities_and_decisions(run: RunFiles) -> None:
    lines = model_lines([*run.models, *run.comparators])
    section = trust_section(run, lines)
    believed, sets = section.tables
    assert [row[0] for row in believed.rows if "as published" in row[0]] == [row[0] for row in sets.rows[-3:]]
    row = next(row for row in believed.rows if row[0] == "Brock (PanCan), as published")
    found = run.results["comparators"]["brock"]["calibration"][run.full_pattern]["after"]
    assert row[2] == text.estimate(found["brier"])
    assert row[2].startswith(row[1])
    assert "before is the same as after" in believed.note
    sketches = {sketch.name: sketch for sketch in section.sketches}
    assert set(sketches["calibration"].data["score"]) == set(lines)
    # Herder lacks values of some lesions: in the curves of all it would take these from the others.
    assert set(sketches["decision"].data["score"]) == {"dgccl", "mayo", "brock", "act on everyone"}
    assert any(note.startswith("Herder: not in the decision curves here") for note in section.notes)


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
    results["comparators"] = {}
    section = clinical_section(dataclasses.replace(run, results=results))
    assert [row[0] for row in section.tables[0].rows] == ["Mayo (Swensen)", "Herder", "Brock (PanCan)"]
    assert len(section.tables) == 2
    assert "Holm's correction over the published models" in section.tables[0].note
    assert any("dgccl evaluate" in note for note in section.notes)
    assert [sketch.name for sketch in section.sketches] == ["decision-clinical"]
