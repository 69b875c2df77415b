"""Answers from the results: what was measured of the first model, by which methods, and how sure it is."""

from collections.abc import Mapping

from dgccl.cohort import Cohort
from dgccl.report import text
from dgccl.report.checklists.of_groups import gates, in_subgroups
from dgccl.report.checklists.of_inputs import masked
from dgccl.report.checklists.said import counts, is_binary, joined, primary, simulated, span
from dgccl.report.run_files import RunFiles
from dgccl.report.verdict import limitations


def performance(run: RunFiles, cohort: Cohort) -> str | None:
    """Discrimination of the first model with its interval, and its operating point."""
    return joined(_area(run), _rates(run), in_subgroups(run), simulated(run))


def accuracy(run: RunFiles, cohort: Cohort) -> str | None:
    """Sensitivity and specificity of two classes, accuracy of more; None where the data leave all undefined."""
    _, model = primary(run)
    rates = (
        [model["sensitivity"], model["specificity"]] if is_binary(run) else [model["multiclass"]["accuracy"]]
    )
    if all(rate is None or text.is_missing(rate["estimate"]) for rate in rates):
        return None
    return joined(_rates(run), simulated(run))


def test_size(run: RunFiles, cohort: Cohort) -> str | None:
    """How many lesions were tested, and how wide that leaves the interval."""
    return joined(counts(run), _area(run), simulated(run))


def internal_testing(run: RunFiles, cohort: Cohort) -> str | None:
    """The cross-validated result, and the gates where they were asked."""
    return joined(
        _area(run), "Each test lesion is of the cohort of the training lesions.", gates(run), simulated(run)
    )


def measures(run: RunFiles, cohort: Cohort) -> str | None:
    """What was measured."""
    results, binary = run.results, is_binary(run)
    models = list(results["models"].values())
    area = text.area_name(len(run.class_names))
    calls = "sensitivity and specificity at thresholds from validation lesions"
    return joined(
        f"Discrimination: {area} within folds, ROC curves.",
        "Precision-recall curves." if any(model.get("precision_recall") for model in models) else "",
        f"Calls: {calls if binary else 'accuracy and the rates of each class'}.",
        "Calibration: Brier score, slope, calibration in the large, ECE and curves."
        if any(model["calibration"] for model in models)
        else "",
        "Prediction sets: coverage and share without a decision."
        if any(model["conformal"] for model in models)
        else "",
        "Clinical use: decision curves." if results["decision"] else "",
        "Missing modalities: loss of discrimination." if any(model["patterns"] for model in models) else "",
        "Models are compared by the paired DeLong test." if results["delong"] else "",
    )


def uncertainty(run: RunFiles, cohort: Cohort) -> str | None:
    """Methods of the intervals and tests of the first model."""
    _, model = primary(run)
    rate = model["sensitivity"] if is_binary(run) else model["multiclass"]["accuracy"]
    named = [
        f"{words} by {text.method_name(entry['method'])}"
        for words, entry in (("AUC", model["auroc"]), ("rates", rate))
        if entry is not None and not text.is_missing(entry["ci_low"])
    ]
    level = f"{100 * run.results['meta']['confidence']:g}%"
    return joined(
        f"Intervals of {level}: {', '.join(named)}." if named else "",
        "Intervals of AUCs go by patient.",
        "Differences of AUCs: paired DeLong test, corrected by Holm." if run.results["delong"] else "",
    )


def output(run: RunFiles, cohort: Cohort) -> str | None:
    """What a network answers, and how that becomes a call."""
    if not is_binary(run):
        return "Output: a probability for each class. The class of the highest one is called, no threshold is chosen."
    name, model = primary(run)
    known = [value for value in model["threshold_by_fold"] if not text.is_missing(value)]
    return joined(
        f"Output: probability of {run.class_names[1]}.",
        "Thresholds: Youden's index on the validation lesions of each fold.",
        f"Thresholds of {name} by fold: {span(known, digits=3)}." if known else "",
        _without(model["threshold_by_fold"], "a threshold"),
    )


def recalibration(run: RunFiles, cohort: Cohort) -> str | None:
    """How probabilities are recalibrated."""
    _, model = primary(run)
    if not _was_recalibrated(run):
        return None
    return joined(
        "Probabilities of a fold are recalibrated by one temperature, fitted on its validation lesions.",
        _without(model["calibration"][run.full_pattern]["temperature_by_fold"], "a temperature"),
        "No network was changed after its test lesions were scored.",
    )


def recalibrated_performance(run: RunFiles, cohort: Cohort) -> str | None:
    """What recalibration did to the first model's probabilities."""
    name, model = primary(run)
    if not _was_recalibrated(run):
        return None
    found = model["calibration"][run.full_pattern]
    before, after = (text.estimate(found[key]["brier"]) for key in ("before", "after"))
    return joined(
        f"Brier score of {name}: {before} before recalibration, {after} after it.",
        "No network was changed after its test lesions were scored.",
        simulated(run),
    )


def robustness(run: RunFiles, cohort: Cohort) -> str | None:
    """Worse images and withheld modalities, as far as they were tried."""
    found = joined(_patterns(run), _stress(run))
    return found and joined(found, simulated(run))


def poor_inputs(run: RunFiles, cohort: Cohort) -> str | None:
    """What the networks do without an input, and what worse images cost."""
    found = joined(masked(run), _patterns(run), _stress(run))
    return found and joined(found, simulated(run))


def explanations(run: RunFiles, cohort: Cohort) -> str | None:
    """What this page shows of the inside of the networks."""
    models = run.results["models"]
    gated = [text.model_words(name) for name in run.models if models[name]["gate"]]
    mapped = [text.model_words(name) for name in run.models if name in run.fused]
    return joined(
        f"Gate weights by class: {text.listing(gated)}. See “Gate weights by true class”." if gated else "",
        f"Maps of fused embeddings: {text.listing(mapped)}." if mapped else "",
    )


def failures(run: RunFiles, cohort: Cohort) -> str | None:
    """How many lesions the first model called wrong."""
    name, model = primary(run)
    if is_binary(run):
        negative, positive = run.class_names
        found: Mapping[str, int] | None = model["confusion"]
        if found is None:
            return None
        missed, called = f"{found['fn']} {positive}", f"{found['fp']} {negative}"
        return joined(
            f"Wrong calls of {name}: {missed} called {negative}, {called} called {positive}.", simulated(run)
        )
    table = model["multiclass"]["confusion"]
    total = sum(map(sum, table))
    wrong = total - sum(row[index] for index, row in enumerate(table))
    return joined(f"Wrong calls of {name}: {wrong} of {text.count(total, 'lesion')}.", simulated(run))


def limitations_listed(run: RunFiles, cohort: Cohort) -> str | None:
    """How many limitations the page lists."""
    return f"Limitations that follow from the run itself: {len(limitations(run))}."


def _area(run: RunFiles) -> str:
    name, model = primary(run)
    area, found = text.area_name(len(run.class_names)), model["auroc"]
    lesions = text.count(int(found["n"]), "test lesion")
    return f"{text.capitalized(name)}: {area} {text.estimate(found)} on {lesions}."


def _rates(run: RunFiles) -> str:
    name, model = primary(run)
    if is_binary(run):
        sensitivity, specificity = text.estimate(model["sensitivity"]), text.estimate(model["specificity"])
        return f"{text.capitalized(name)}: sensitivity {sensitivity}, specificity {specificity}."
    return f"{text.capitalized(name)}: accuracy {text.estimate(model['multiclass']['accuracy'])}."


def _was_recalibrated(run: RunFiles) -> bool:
    """Whether any fold of the first model has a temperature."""
    calibration = primary(run)[1]["calibration"]
    return bool(calibration) and any(
        not text.is_missing(value) for value in calibration[run.full_pattern]["temperature_by_fold"]
    )


def _without(by_fold: list[float | None], what: str) -> str:
    """How many folds lack something that their validation lesions did not allow."""
    lacking = sum(text.is_missing(value) for value in by_fold)
    return (
        f"Folds without {what}, which their validation lesions do not allow: {lacking} of {len(by_fold)}."
        if lacking
        else ""
    )


def _patterns(run: RunFiles) -> str:
    """What withheld modalities cost the first model."""
    name, model = primary(run)
    area = text.area_name(len(run.class_names))
    losses = (
        f"Loss of {area} of {name}, {text.pattern_name(pattern, run.modalities)}: {text.estimate(entry['drop'])}."
        for pattern, entry in model["patterns"].items()
    )
    return " ".join((*losses, "See “What a missing modality costs”.")) if model["patterns"] else ""


def _stress(run: RunFiles) -> str:
    if run.stress is None:
        return ""
    dials = len({result["dial"] for results in run.stress["models"].values() for result in results})
    return f"Stress test on worse images: {text.count(dials, 'kind')}, tolerances with intervals. See “Robustness”."
