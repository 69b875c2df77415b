"""Would the missing image change the answer for one lesion? The row that `evaluate` writes, and the call beside it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from dgccl.errors import StatsError
from dgccl.evaluation.acquisition import (
    FEWEST,
    INTERVAL,
    THRESHOLDS,
    both_ways,
    expected,
    outlook_of,
)
from dgccl.evaluation.calls import thresholds
from dgccl.evaluation.recalibrated import SMALLEST_PROBABILITY, recalibrate, tempered
from dgccl.evaluation.run_tables import RunTables


@dataclass(frozen=True)
class BenefitAt:
    """Expected gain in net benefit of acquiring, a lesion, where one acts from `threshold` on."""

    threshold: float
    expected_changes: float
    expected_benefit: float


@dataclass(frozen=True)
class CaseOutlook:
    """What acquiring one modality is expected to do to one lesion's probability of class 1, all recalibrated.

    Attributes:
        missing: the modality that is missing or left out.
        shown: pattern that was shown instead.
        fold: whose network judges, and whose validation lesions are behind the expectation.
        p_now: probability without the modality.
        p_expected: mean of the probabilities that may follow.
        p_median: their median.
        p_low: lower end of the central `interval`.
        p_high: its upper end.
        interval: share of lesions whose probability is promised to lie between the ends.
        expected_change: mean absolute change of the probability.
        called_now: whether the lesion is called class 1 without it, at the fold's Youden threshold; null where the
            fold has no threshold.
        call_changes: share of outcomes in which the call changes; null likewise.
        acting: expected gain at given threshold probabilities.
        n_validation: complete validation lesions of the fold.
        p_complete: probability with the modality, where the lesion has it.
        called_complete: the call with it; null where unknown.
    """

    missing: str
    shown: str
    fold: int
    p_now: float
    p_expected: float
    p_median: float
    p_low: float
    p_high: float
    interval: float
    expected_change: float
    called_now: bool | None
    call_changes: float | None
    acting: list[BenefitAt]
    n_validation: int
    p_complete: float | None
    called_complete: bool | None

    def to_json(self) -> dict[str, Any]:
        """As `explanation.json` holds it."""
        return asdict(self)


def case_outlook(tables: RunTables, model: str, lesion_id: str, missing: str) -> CaseOutlook:
    """What acquiring a modality is expected to change for one test lesion, by the code that `evaluate` uses.

    Args:
        tables: the run, of two classes.
        model: name of the model.
        lesion_id: a test lesion of the run.
        missing: the modality that it lacks, or that is to be left out.

    Raises:
        StatsError: `no_outlook`, with the reason.
    """
    if len(tables.class_names) > 2:
        raise _none(f"the run has {len(tables.class_names)} classes, and the expectation is defined for two")
    names: Sequence[str] = tables.modalities
    shown = "+".join(name for name in names if name != missing)
    if missing not in names or shown not in tables.withheld_patterns(model):
        raise _none(f"{model} does not judge lesions with {missing} alone left out of {', '.join(names)}")
    table = expected(tables, model, shown, missing, [])
    row = table.loc[table["lesion_id"] == lesion_id] if len(table) else table
    if row.empty:
        raise _none(
            f"{lesion_id} is no test lesion that has all of {shown}, or its fold has complete validation "
            f"lesions of fewer than {FEWEST} patients"
        )
    found = row.iloc[0]
    fold, now = int(found["fold"]), float(found["p_now"])
    limits = _limits(tables, model, shown, fold)
    complete = float(found["p_complete"]) if np.isfinite(found["p_complete"]) else None
    called = None if limits is None else now >= limits[0]
    return CaseOutlook(
        missing=missing,
        shown=shown,
        fold=fold,
        p_now=now,
        **{
            key: float(found[key]) for key in ("p_expected", "p_median", "p_low", "p_high", "expected_change")
        },
        interval=INTERVAL,
        called_now=called,
        call_changes=None if limits is None else _changes(tables, model, shown, fold, now, limits),
        acting=[
            BenefitAt(at, float(found[f"changes_at_{at:g}"]), float(found[f"benefit_at_{at:g}"]))
            for at in THRESHOLDS
        ],
        n_validation=int(found["n_validation"]),
        p_complete=complete,
        called_complete=None if limits is None or complete is None else complete >= limits[1],
    )


def _limits(tables: RunTables, model: str, shown: str, fold: int) -> tuple[float, float] | None:
    """The fold's Youden threshold on the recalibrated scale, without and with the modality.

    The threshold is one of the network's own scores, and each pattern has a temperature of its own.
    """
    limit = thresholds(tables, model, [])[fold]
    if limit is None:
        return None
    ends = []
    for pattern in (shown, tables.full_pattern):
        temperature = recalibrate(tables, model, pattern, warnings=[]).temperature_by_fold[fold]
        inside = min(max(limit, SMALLEST_PROBABILITY), 1.0 - SMALLEST_PROBABILITY)
        pair = np.array([[1.0 - inside, inside]])
        ends.append(float(pair[0, 1] if temperature is None else tempered(pair, temperature)[0, 1]))
    return ends[0], ends[1]


def _changes(
    tables: RunTables, model: str, shown: str, fold: int, now: float, limits: tuple[float, float]
) -> float:
    """Share of outcomes in which the call with the modality is another than the call without it."""
    known = both_ways(tables, model, shown, split="validation").query("fold == @fold")
    outlook = outlook_of(known)
    later = outlook.probabilities(np.array([now]))
    return float(outlook.mean((later >= limits[1]) != (now >= limits[0]))[0])


def _none(reason: str) -> StatsError:
    return StatsError("no_outlook", f"What the missing image would change cannot be said: {reason}.")
