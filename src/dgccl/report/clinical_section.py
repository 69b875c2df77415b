"""The part of the report that shows models which clinicians know beside the run's own."""

from collections.abc import Mapping
from typing import Any

from dgccl.report import probability_figures, style, text
from dgccl.report.run_files import RunFiles
from dgccl.report.section import Section
from dgccl.report.sketch import Sketch
from dgccl.report.tables import Table

TITLE = "Models that clinicians know"


def clinical_sketches(run: RunFiles) -> list[Sketch]:
    """Decision curves of the run's model and the published ones, on the lesions that all of them judge."""
    clinical = run.results["clinical"]
    if not clinical or not clinical["decision"]:
        return []
    titles = {model["name"]: model["title"] for model in clinical["models"]}
    lines = style.model_lines(list(clinical["decision"]["models"]))
    return [
        probability_figures.decision(
            clinical["decision"],
            lines,
            called=lambda name: titles.get(name) or text.model_name(name),
            name="decision-clinical",
        )
    ]


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
    shown = (_table(judged, clinical["beside"]),) if judged else ()
    return Section(
        "clinical", TITLE, notes=tuple(notes), sketches=tuple(clinical_sketches(run)), tables=shown
    )


def _columns(names: list[str]) -> str:
    return text.listing([name.replace("|", " or ") for name in names])


def _table(models: list[Mapping[str, Any]], beside: str) -> Table:
    rows = []
    for model in models:
        test, calibration = model["difference"], model["calibration"]
        difference, p = text.NOT_DEFINED, text.NOT_DEFINED
        if test:
            difference = f"{text.number(test['difference'], signed=True)} ({text.interval(test)})"
            p = text.p_value(test["p"])
        rows.append(
            (
                model["title"],
                text.estimate(model["auroc"]),
                difference,
                p,
                text.estimate(calibration["brier"]),
                text.estimate(calibration["slope"]),
                text.estimate(calibration["in_the_large"]),
                str(model["auroc"]["n"]),
            )
        )
    header = (
        "Model",
        "AUC",
        f"AUC of {text.model_words(beside)} minus it",
        "p",
        "Brier score",
        "Slope",
        "In the large, log odds",
        "Lesions",
    )
    sources = "; ".join(f"{model['title']}: {model['source']}" for model in models)
    note = (
        "Computed from the cohort's columns with the published coefficients, on the test lesions that have every "
        "value; differences within folds, by patient, uncorrected. Each was derived in patients of its own kind, so "
        f"that its probabilities may be too high or too low here. {sources}."
    )
    return Table(TITLE, header, tuple(rows), note)
