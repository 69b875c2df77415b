"""Tables of models that clinicians know: each has the run's own model below it, on the very same lesions."""

from collections.abc import Mapping, Sequence
from typing import Any

from dgccl.report import text
from dgccl.report.tables import Table

TITLE = "Models that clinicians know"
FAMILY, FAMILY_OF_BEFORE = "all paired comparisons of this run", "the published models"
"""Over which tests Holm's correction goes, and did in results of before published models were among the comparisons."""
Models = Sequence[Mapping[str, Any]]
"""The published models that were computed, as results hold them."""


def clinical_tables(models: Models, *, beside: str, positive: str, family: str = FAMILY) -> tuple[Table, ...]:
    """Discrimination, calibration and calls.

    Args:
        models: the published models that were computed.
        beside: name of the run's model.
        positive: class whose probability it is.
        family: over which tests Holm's correction goes.
    """
    tables = [_discrimination(models, beside, family), _calibration(models, beside)]
    if any(model["calls"] for model in models):
        tables.append(_calls(models, beside, positive))
    return tuple(tables)


def _own(beside: str) -> str:
    return f"{text.model_name(beside)}, on the same lesions"


def _discrimination(models: Models, beside: str, family: str) -> Table:
    rows: list[tuple[str, ...]] = []
    for model in models:
        test = model["difference"]
        difference, p, p_holm = text.NOT_DEFINED, text.NOT_DEFINED, text.NOT_DEFINED
        if test:
            difference = f"{text.number(test['difference'], signed=True)} ({text.interval(test)})"
            p, p_holm = text.p_value(test["p"]), text.p_value(test["p_holm"])
        area = model["auroc"]
        rows.append((model["title"], text.estimate(area), difference, p, p_holm, str(area["n"])))
        own = model["beside_auroc"]
        if own:
            rows.append((_own(beside), text.estimate(own), "", "", "", str(own["n"])))
    header = ("Model", "AUC", f"AUC of {text.model_words(beside)} minus it", "p", "p, Holm", "Lesions")
    sources = "; ".join(f"{model['title']}: {model['source']}" for model in models)
    note = (
        "Computed from the cohort's columns with the published coefficients, on the test lesions that have every "
        "value. AUCs and differences within folds, by patient; paired DeLong test, Holm's correction over "
        f"{family}. {sources}."
    )
    return Table(TITLE, header, tuple(rows), note)


def _calibration(models: Models, beside: str) -> Table:
    keys, rows = ("brier", "slope", "in_the_large"), []
    for model in models:
        found = [(model["title"], model["calibration"]), (_own(beside), model["beside_calibration"])]
        rows += [(name, *(text.estimate(of[key]) for key in keys)) for name, of in found if of]
    note = (
        f"Probabilities of the published models as published, those of {text.model_words(beside)} recalibrated on each "
        "fold's validation lesions. Each published model was derived in patients of its own kind, so that its "
        "probabilities may be too high or too low here. 95% intervals by patient."
    )
    header = ("Model", "Brier score", "Slope", "In the large, log odds")
    return Table("Calibration of models that clinicians know", header, tuple(rows), note)


def _calls(models: Models, beside: str, positive: str) -> Table:
    rows = []
    for model in models:
        for at in model["calls"]:
            for name, kind in ((model["title"], ""), (_own(beside), "beside_")):
                rates = (text.estimate(at[f"{kind}{key}"]) for key in ("sensitivity", "specificity"))
                rows.append((name, f"{100 * at['threshold']:g}%", *rates))
    sources = {model["title"]: model["calls"][0]["guideline"] for model in models if model["calls"]}
    named = "; ".join(f"{title}: {guideline}" for title, guideline in sources.items())
    note = (
        f"A lesion is called {positive} from the probability on at which a guideline for the published model changes "
        f"what is to be done. The probabilities of {text.model_words(beside)} are recalibrated. Wilson intervals, "
        f"which take lesions as independent. {named}."
    )
    header = ("Model", "Called from", "Sensitivity", "Specificity")
    return Table("Calls at the guidelines' thresholds", header, tuple(rows), note)
