"""All gates of a file, one after the other: a gate that cannot be assessed fails."""

from dgccl.acceptance.duplicates import judge_duplicates
from dgccl.acceptance.evidence import Evidence
from dgccl.acceptance.gates import (
    AurocFloor,
    CalibrationSlope,
    Gate,
    LabelNotImplied,
    LeaveOneSiteOut,
    MissingModalityDrop,
    NoDuplicateImages,
    NonInferiority,
    NoPatientInTwoSplits,
    SubgroupFloor,
)
from dgccl.acceptance.label_leak import judge_label_leak
from dgccl.acceptance.performance import (
    judge_auroc_floor,
    judge_calibration,
    judge_drop,
    judge_non_inferiority,
)
from dgccl.acceptance.results import Finding, GateResult
from dgccl.acceptance.splits import judge_splits
from dgccl.acceptance.subgroups import judge_leave_one_site_out, judge_subgroups
from dgccl.errors import DgcclError

NOT_ASSESSED = "not_assessed"


def judge(gate: Gate, evidence: Evidence) -> GateResult:
    """Judge one gate; whatever keeps it from being assessed is told and fails it.

    Args:
        gate: its settings.
        evidence: the run.
    """
    settings = gate.model_dump(mode="json", exclude={"rule"})
    title = _title(gate)
    try:
        found = _find(gate, evidence)
    except DgcclError as error:
        reason = f"Cannot be assessed: {error} [{error.code}]"
        return GateResult(
            gate.rule, title, settings, "", None, None, None, NOT_ASSESSED, 0, False, False, reason
        )
    figure = found.figure
    return GateResult(
        rule=gate.rule,
        title=title,
        settings=settings,
        figure_name=found.figure_name,
        figure=figure.estimate,
        ci_low=figure.ci_low,
        ci_high=figure.ci_high,
        method=figure.method,
        n=figure.n,
        passed=found.passed,
        assessed=True,
        reason=found.reason,
        parts=found.parts,
        details=dict(found.details),
    )


def _title(gate: Gate) -> str:
    """The rule, and what tells this gate from another of its kind."""
    if isinstance(gate, SubgroupFloor):
        return f"{gate.rule} by {gate.by}"
    if isinstance(gate, NonInferiority):
        return f"{gate.rule} to {gate.comparator}"
    if isinstance(gate, MissingModalityDrop) and gate.missing != "all":
        return f"{gate.rule} of {', '.join(gate.missing)}"
    return gate.rule


def _find(gate: Gate, evidence: Evidence) -> Finding:
    match gate:
        case AurocFloor():
            return judge_auroc_floor(gate, evidence)
        case MissingModalityDrop():
            return judge_drop(gate, evidence)
        case NonInferiority():
            return judge_non_inferiority(gate, evidence)
        case CalibrationSlope():
            return judge_calibration(gate, evidence)
        case SubgroupFloor():
            return judge_subgroups(gate, evidence)
        case LeaveOneSiteOut():
            return judge_leave_one_site_out(gate, evidence)
        case NoPatientInTwoSplits():
            return judge_splits(gate, evidence)
        case NoDuplicateImages():
            return judge_duplicates(gate, evidence)
        case LabelNotImplied():
            return judge_label_leak(gate, evidence)
