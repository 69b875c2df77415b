"""A floor for the AUC in every group of lesions that is large enough, and a limit to what is not judged."""

from dataclasses import dataclass

import pandas as pd

from dgccl.acceptance.evidence import Evidence
from dgccl.acceptance.gates import GroupSizes
from dgccl.acceptance.results import Finding, Part, part_of
from dgccl.errors import StatsError
from dgccl.evaluation.figure import Figure


@dataclass(frozen=True)
class Judged:
    """The groups that were looked at.

    Attributes:
        parts: one a group, in the order given.
        n: lesions of all groups.
        ungated: lesions without a verdict: those of groups that are too small, and those of judged groups that stand
            alone with their class in their fold, which no AUC is about.
    """

    parts: list[Part]
    n: int
    ungated: int

    @property
    def gated(self) -> list[Part]:
        """Groups that have a verdict."""
        return [part for part in self.parts if part.passed is not None]


def judge_groups(
    rows: pd.DataFrame,
    groups: list[tuple[str, pd.DataFrame]],
    evidence: Evidence,
    *,
    floor: float,
    sizes: GroupSizes,
) -> Judged:
    """Hold the lower end of each group's AUC against the floor.

    All groups must reach it, so that looking at many makes no false pass more likely: no correction is needed.

    Args:
        rows: all lesions.
        groups: name and lesions of each group.
        evidence: the run.
        floor: for the lower end.
        sizes: which groups are large enough.
    """
    parts, gated = [], 0
    for name, lesions in groups:
        part = _judge_group(name, lesions, evidence, floor, sizes)
        parts.append(part)
        gated += part.n if part.passed is not None else 0
    return Judged(parts, len(rows), len(rows) - gated)


def _judge_group(name: str, rows: pd.DataFrame, evidence: Evidence, floor: float, sizes: GroupSizes) -> Part:
    # A lesion whose fold has no lesion of another class in this group is compared with none.
    used = rows.loc[rows.groupby("fold")["y_true"].transform("nunique") > 1]
    classes = range(len(evidence.tables.class_names))
    smallest = min(int((used["y_true"] == label).sum()) for label in classes)
    if len(used) < sizes.min_lesions or smallest < sizes.min_of_class:
        reason = (
            f"too small: {len(used)} of its {len(rows)} lesions count, at least {smallest} of each class; "
            f"{sizes.min_lesions} and {sizes.min_of_class} are needed"
        )
        nothing = Figure(None, None, None, "too_small", len(used))
        return part_of(name, nothing, passed=None, reason=reason)
    try:
        figure = evidence.auroc(rows, name)
    except StatsError as error:
        undefined = Figure(None, None, None, "not_defined", len(used))
        return part_of(name, undefined, passed=False, reason=f"not defined: {error.message}")
    passed = bool(figure.ci_low is not None and figure.ci_low >= floor)
    word = "reaches" if passed else "does not reach"
    return part_of(
        name, figure, passed=passed, reason=f"the lower end, {figure.ci_low:.4f}, {word} {floor:g}"
    )


def finding_of(judged: Judged, sizes: GroupSizes, *, what: str, faults: list[str]) -> Finding:
    """The verdict over all groups: every judged one reaches the floor, few lesions go without, nothing else is wrong.

    Args:
        judged: the groups.
        sizes: the largest share without a verdict.
        what: what a group is called, in the plural.
        faults: what else fails the gate, in words.
    """
    share = judged.ungated / judged.n if judged.n else 1.0
    failed = [part for part in judged.gated if not part.passed]
    too_small = [part for part in judged.parts if part.passed is None]
    told = [f"{part.name}: {part.reason}" for part in failed] + faults
    if share > sizes.max_ungated_share:
        told.append(f"{share:.0%} of the lesions got no verdict, more than {sizes.max_ungated_share:.0%}")
    if not judged.gated:
        told.append(f"none of the {what} could be judged")
    passed = not told
    if passed:
        told.append(f"all {len(judged.gated)} judged {what} reach the floor")
    if too_small:
        told.append(f"too small to judge: {', '.join(part.name for part in too_small)}")
    if judged.ungated:
        told.append(f"{judged.ungated} of {judged.n} lesions ({share:.0%}) without a verdict")
    worst = min(judged.gated, key=lambda part: -1.0 if part.ci_low is None else part.ci_low, default=None)
    n = judged.n - judged.ungated
    figure = (
        Figure(None, None, None, "not_defined", n)
        if worst is None
        else Figure(worst.figure, worst.ci_low, worst.ci_high, worst.method, worst.n)
    )
    return Finding(
        "lowest AUC",
        figure,
        passed,
        "; ".join(told) + ".",
        judged.parts,
        {
            "worst": worst.name if worst else None,
            "too_small": [part.name for part in too_small],
            "n": judged.n,
            "ungated": judged.ungated,
            "ungated_share": share,
        },
    )
