"""The part of the report that shows models which clinicians know beside the run's own."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from dgccl.report import probability_figures, style, text
from dgccl.report.clinical_tables import FAMILY, FAMILY_OF_BEFORE, TITLE, clinical_tables
from dgccl.report.run_files import RunFiles
from dgccl.report.section import Section
from dgccl.report.sketch import Sketch


def clinical_sketches(run: RunFiles) -> list[Sketch]:
    """Calibration of the run's model beside each published one on its lesions; decision curves on those of all."""
    clinical = run.results["clinical"]
    if not clinical:
        return []
    titles = {model["name"]: model["title"] for model in clinical["models"]}

    def called(name: str) -> str:
        return titles.get(name) or text.model_name(name)

    lines = style.model_lines([clinical["beside"], *titles])
    sketches = [
        _calibration(model, clinical["beside"], lines, called, positive=run.class_names[1])
        for model in clinical["models"]
        if model["beside_calibration"] and model["calibration"]["bins"]
    ]
    if clinical["decision"]:
        sketches.append(
            probability_figures.decision(clinical["decision"], lines, called=called, name="decision-clinical")
        )
    return sketches


def _calibration(
    model: Mapping[str, Any],
    beside: str,
    lines: Mapping[str, style.Line],
    called: Callable[[str], str],
    *,
    positive: str,
) -> Sketch:
    """A published model and the run's on the lesions that both judge."""
    sketch = probability_figures.calibration(
        {beside: model["beside_calibration"], model["name"]: model["calibration"]},
        lines,
        percent="95%",
        called=called,
        axes_words=(f"Probability of {positive}", f"Share of {positive}"),
    )
    said = (
        f"{model['title']} as published and {text.model_words(beside)} recalibrated, on the "
        f"{text.count(model['auroc']['n'], 'test lesion')} that both judge."
    )
    return replace(sketch, name=f"calibration-{model['name']}", caption=f"{said} {sketch.caption}")


def clinical_section(run: RunFiles) -> Section:
    """Published nodule models on the lesions that have what they need, and what is lacking for the others."""
    clinical = run.results["clinical"]
    if not clinical:
        reason = "they are of two classes" if len(run.class_names) > 2 else "the cohort was not at hand"
        note = f"No published nodule model was computed: {reason} when the run was evaluated."
        return Section("clinical", TITLE, notes=(note,))
    notes = [
        f"{model['title']} was not computed: the cohort lacks {_columns(model['lacking'])}."
        for model in clinical["models"]
        if model["lacking"]
    ]
    judged = [model for model in clinical["models"] if model["auroc"]]
    family = FAMILY if run.comparators else FAMILY_OF_BEFORE
    tables = (
        clinical_tables(judged, beside=clinical["beside"], positive=run.class_names[1], family=family)
        if judged
        else ()
    )
    if any(not model["beside_auroc"] for model in judged):
        notes.append(
            f"These results do not hold {text.model_words(clinical['beside'])} on the same lesions: run `dgccl "
            "evaluate` again on this run."
        )
    return Section(
        "clinical", TITLE, notes=tuple(notes), sketches=tuple(clinical_sketches(run)), tables=tables
    )


def _columns(names: list[str]) -> str:
    return text.listing([name.replace("|", " or ") for name in names])
