"""The forest plot, bands, precision against recall, and distances, as the report shows them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dgccl.evaluation import evaluate
from dgccl.report import style
from dgccl.report.discrimination import discrimination
from dgccl.report.modalities_section import modalities_section
from dgccl.report.page import page_content
from dgccl.report.run_files import RunFiles, read_run
from dgccl.report.section import Section
from dgccl.report.sketch import Sketch, drawn
from dgccl.report.subgroup_section import subgroup_section


@pytest.fixture(scope="module")
def run(make_run: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    made = make_run(tmp_path_factory.mktemp("groups"), lesions=60)
    evaluate(made.folder, lesions=made.cohort.lesions)
    return made


def figures_of(section: Section) -> dict[str, Sketch]:
    return {sketch.name: sketch for sketch in section.sketches}


def lines_of(files: RunFiles) -> dict[str, style.Line]:
    return style.model_lines(files.models)


def test_every_group_is_in_the_table_and_those_looked_at_in_the_forest(run: Any) -> None:
    files = read_run(run.folder)
    section = subgroup_section(files, lines_of(files))
    groups = files.results["subgroups"]["groups"]
    assert len(section.tables[0].rows) == len(groups) > 3
    sketch = section.sketches[0]
    assert sketch.data["group"].tolist() == ["all", *(group["name"] for group in groups)]
    svg = drawn(sketch).svg
    for group, row in zip(groups, section.tables[0].rows, strict=True):
        assert row[1] == str(group["n"])
        looked_at = group["auroc"]["estimate"] is not None
        assert (f">{group['name']} ({group['n']})<".replace("&", "&amp;") in svg) == looked_at
        assert row[-1].startswith(f"{group['auroc']['estimate']:.3f} (" if looked_at else "fewer than 5")
    assert any(group["auroc"]["estimate"] is None for group in groups)


def test_what_is_not_there_is_said(run: Any) -> None:
    files = read_run(run.folder)
    for groups, words in (
        (None, "hold no groups"),
        ({**files.results["subgroups"], "groups": []}, "records nothing"),
    ):
        without = replace(files, results={**files.results, "subgroups": groups})
        section = subgroup_section(without, lines_of(without))
        assert words in section.notes[0]
        assert not section.sketches


def test_bands_and_precision_are_drawn_with_their_data(run: Any) -> None:
    files = read_run(run.folder)
    found = figures_of(discrimination(files, lines_of(files)))
    roc, precision = found["roc"], found["precision-recall"]
    for name, model in files.results["models"].items():
        band = roc.data.loc[(roc.data["model"] == name) & (roc.data["part"] == "band")]
        assert np.allclose(band["low"], model["roc"]["band"]["low"])
        own = precision.data.loc[precision.data["model"] == name]
        assert own["precision"].tolist() == model["precision_recall"]["precision"]
        assert f"{model['precision_recall']['auprc']['estimate']:.3f}" in drawn(precision).svg
    assert "Bands: 95% interval" in roc.caption


def test_distances_stand_beside_the_published_ones(run: Any) -> None:
    files = read_run(run.folder)
    sketch = figures_of(modalities_section(files, lines_of(files)))["class-distance"]
    entries = {entry["kind"]: entry for entry in files.results["models"]["dgccl"]["class_distances"]}
    fused: pd.DataFrame = sketch.data.loc[sketch.data["embeddings"] == "fused"].set_index("pairs")
    assert fused.loc["different classes", "mean"] == entries["fused"]["between"]["mean"]
    assert fused.loc["one class", "mean"] == entries["fused"]["within"]["mean"]
    table = next(t for t in discrimination(files, lines_of(files)).tables if t.title.startswith("Beside"))
    row = next(row for row in table.rows if row[0].endswith("distance after fusion"))
    assert row[1:] == (f"{entries['fused']['between']['mean']:.3f}", "0.79")


def test_the_checklists_are_the_last_section(run: Any) -> None:
    files = read_run(run.folder)
    sections = page_content(files, cohort=run.cohort)["sections"]
    assert sections[-1].id == "checklists"
    assert [table.title for table in sections[-1].tables] == [
        "TRIPOD+AI checklist",
        "CLAIM checklist, 2024 update",
    ]
