"""Gates of the headline figures: AUC, its drop without a modality, non-inferiority, calibration."""

import pandas as pd

from dgccl import stats
from dgccl.acceptance.evidence import Evidence
from dgccl.acceptance.gates import AurocFloor, CalibrationSlope, MissingModalityDrop, NonInferiority
from dgccl.acceptance.published import minus_published
from dgccl.acceptance.results import Finding, Part, part_of
from dgccl.clinical import COMPARATORS
from dgccl.errors import ConfigError, StatsError
from dgccl.evaluation import areas
from dgccl.evaluation.figure import Figure
from dgccl.evaluation.recalibrated import recalibrate
from dgccl.evaluation.run_tables import RunTables
from dgccl.stats.calibration import calibration_slope_intercept
from dgccl.stats.non_inferiority import non_inferiority

CLIP = 1e-6
"""Probabilities of 0 and 1 have no log odds; they are moved in by this much, and the result counts them."""


def judge_auroc_floor(gate: AurocFloor, evidence: Evidence) -> Finding:
    """The lower end of the AUC of all test lesions (within folds, by patient) is at least the floor."""
    rows = evidence.test_rows
    figure = evidence.auroc(rows, evidence.model)
    passed = bool(figure.ci_low is not None and figure.ci_low >= gate.floor)
    word = "reaches" if passed else "does not reach"
    reason = f"The lower end, {figure.ci_low:.4f}, {word} the floor of {gate.floor:g}"
    return Finding("AUC", figure, passed, f"{reason}{_left_out(evidence, figure.n)}.")


def judge_drop(gate: MissingModalityDrop, evidence: Evidence) -> Finding:
    """The upper end of the loss of AUC is at most the bar, for every pattern of missing modalities that is asked for.

    The loss is taken on lesions that have every modality, by the same networks, paired. A model that says nothing
    without a modality has no loss to show, which fails the gate.
    """
    tables, model = evidence.tables, evidence.model
    if len(tables.modalities) < 2:
        raise ConfigError(
            "one_modality", f"The run has one modality, {tables.full_pattern}: none can be missing."
        )
    unknown = set() if gate.missing == "all" else set(gate.missing) - set(tables.modalities)
    if unknown:
        raise ConfigError(
            "unknown_modality",
            f"The run has no modality {min(unknown)!r}; it has {', '.join(tables.modalities)}.",
            remedy="Name one of them in the file of gates.",
        )
    missing = set(tables.modalities) if gate.missing == "all" else set(gate.missing)
    complete = evidence.test_rows
    complete = complete.loc[complete["modalities_shown"] == tables.full_pattern]
    parts = [
        _drop_part(tables, model, pattern, complete, gate.max_drop)
        for pattern in _patterns_without(tables.modalities, missing)
    ]
    worst = max(parts, key=lambda part: float("inf") if part.ci_high is None else part.ci_high)
    failed = [part for part in parts if not part.passed]
    told = "; ".join(f"{part.name}: {part.reason}" for part in failed or [worst])
    return Finding("AUC drop", _figure_of(worst), not failed, told, parts)


def _patterns_without(modalities: list[str], missing: set[str]) -> list[str]:
    """Patterns that withhold some of `missing` and nothing else, and show something."""
    found: list[list[str]] = [[]]
    for name in modalities:
        withheld = found if name in missing else []
        found = [[*shown, name] for shown in found] + withheld
    return ["+".join(shown) for shown in found if 0 < len(shown) < len(modalities)]


def _drop_part(tables: RunTables, model: str, pattern: str, complete: pd.DataFrame, max_drop: float) -> Part:
    name = f"{pattern} alone" if "+" not in pattern else f"{pattern} only"
    shown = tables.rows(model, split="test", pattern=pattern)
    if shown.empty:
        nothing = Figure(None, None, None, "not_defined", 0)
        return part_of(name, nothing, passed=False, reason=f"{model} says nothing of {pattern} alone")
    columns = tables.score_columns
    both = complete.merge(
        shown[["lesion_id", "fold", *columns]], on=["lesion_id", "fold"], suffixes=("", "_shown")
    )
    warnings: list[str] = []
    lacking = len(complete) - len(both)
    # A loss on the lesions that somebody chose to score would say nothing of the others.
    if lacking or both.empty:
        reason = f"{lacking} of the {len(complete)} lesions that have every modality were not scored so"
        return part_of(name, Figure(None, None, None, "not_defined", 0), passed=False, reason=reason)
    found = areas.drop(both, columns, f"{model} with {pattern} only", warnings)
    figure = Figure(found.estimate, found.ci_low, found.ci_high, found.method, found.n)
    if found.ci_high is None:
        return part_of(name, figure, passed=False, reason=" ".join(warnings))
    passed = found.ci_high <= max_drop
    word = "is within" if passed else "is above"
    return part_of(
        name, figure, passed=passed, reason=f"the upper end, {found.ci_high:.4f}, {word} {max_drop:g}"
    )


def judge_non_inferiority(gate: NonInferiority, evidence: Evidence) -> Finding:
    """The lower end of AUC minus the comparator's AUC is above -margin, on the test lesions that both judge.

    The comparator is another model of the run, or a published one that is computed from the cohort's columns.
    """
    known = {comparator.name: comparator for comparator in COMPARATORS}
    if gate.comparator in evidence.tables.models or gate.comparator not in known:
        difference, title = _minus_model(gate.comparator, evidence), gate.comparator
    else:
        comparator = known[gate.comparator]
        difference, title = minus_published(comparator, evidence), comparator.title
    found = non_inferiority(difference, gate.margin)
    passed = found.verdict in ("superior", "non_inferior")
    figure = Figure(found.difference, found.ci_low, found.ci_high, found.method, found.n)
    word = "above" if passed else "not above"
    reason = (
        f"{found.verdict.replace('_', '-')} to {title}: the lower end, {found.ci_low:.4f}, is {word} "
        f"-{gate.margin:g} (one-sided p {found.p:.2g}){_left_out(evidence, found.n)}."
    )
    return Finding("AUC difference", figure, passed, reason, details={"verdict": found.verdict, "p": found.p})


def _minus_model(other: str, evidence: Evidence) -> stats.PairedComparison:
    """AUC of the judged model minus that of another of the run, by the paired test."""
    tables, model = evidence.tables, evidence.model
    if other == model or other not in tables.models:
        others = ", ".join(name for name in tables.models if name != model) or "none"
        published = ", ".join(comparator.name for comparator in COMPARATORS)
        raise ConfigError(
            "unknown_model",
            f"{other!r} is no other model of the run than {model}; the others: {others}. Nor is it a published model: "
            f"{published}.",
            remedy="Train the comparator in the same run, or name another.",
        )
    rows, columns = evidence.test_rows, tables.score_columns
    theirs = tables.rows(other, split="test", pattern=tables.full_pattern)
    both = rows.merge(
        theirs[["lesion_id", "fold", *columns]], on=["lesion_id", "fold"], suffixes=("", "_other")
    )
    if both.empty:
        raise StatsError("no_cases", f"{model} and {other} judge no test lesion in common.")
    compare = stats.delong_paired if len(columns) == 1 else stats.delong_paired_macro
    return compare(
        both["y_true"].to_numpy(),
        areas.scores(both, columns),
        areas.scores(both, [f"{name}_other" for name in columns]),
        confidence=areas.CONFIDENCE,
        patient=both["patient_id"].to_numpy().astype(str),
        stratum=both["fold"].to_numpy(),
    )


def judge_calibration(gate: CalibrationSlope, evidence: Evidence) -> Finding:
    """The whole interval of the calibration slope lies within the limits, by patient.

    The probabilities of all folds are taken together: whoever uses one reads it as a probability, not as one of a
    fold.
    """
    tables = evidence.tables
    if len(tables.class_names) != 2:
        raise StatsError(
            "not_two_classes",
            f"A calibration slope belongs to two classes; the run has {len(tables.class_names)}.",
            remedy="Leave this gate out.",
        )
    rows, warnings = evidence.test_rows, list[str]()
    probability = rows["y_score"].to_numpy(float)
    if gate.probabilities == "recalibrated":
        recalibrated = recalibrate(tables, evidence.model, tables.full_pattern, warnings=warnings)
        rows, probability = recalibrated.rows, recalibrated.calibrated[:, 1]
    found = calibration_slope_intercept(
        rows["y_true"].to_numpy(),
        probability,
        confidence=areas.CONFIDENCE,
        patient=rows["patient_id"].to_numpy().astype(str),
        clip=CLIP,
    )
    slope = found.slope
    passed = gate.low <= slope.ci_low and slope.ci_high <= gate.high
    word = "lies within" if passed else "does not lie within"
    moved = int(((probability < CLIP) | (probability > 1.0 - CLIP)).sum())
    reason = f"The interval {word} {gate.low:g} to {gate.high:g}"
    if moved:
        reason += f"; {moved} probabilities of 0 or 1 count as {CLIP:g} from there"
    details = {
        "clip": CLIP,
        "clipped": moved,
        "intercept": found.intercept.estimate,
        "in_the_large": found.in_the_large.estimate,
    }
    told = " ".join([f"{reason}.", *warnings])
    return Finding("calibration slope", areas.figure_of(slope), passed, told, details=details)


def _figure_of(part: Part) -> Figure:
    return Figure(part.figure, part.ci_low, part.ci_high, part.method, part.n)


def _left_out(evidence: Evidence, used: int) -> str:
    """Which test lesions of the run the figure is not about."""
    total = len(evidence.tables.cohort)
    if used == total:
        return ""
    return f" (on {used} of {total} test lesions: the others lack what the model reads, or a fold has one class only)"
