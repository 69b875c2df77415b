"""One dial turned for the models of a run: scores at every amount, their figures, and the tolerance."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dgccl.evaluation import calls
from dgccl.evaluation.areas import CONFIDENCE
from dgccl.evaluation.recalibrated import recalibrate
from dgccl.evaluation.run_tables import RunTables
from dgccl.explain.finished_run import FinishedRun
from dgccl.robustness.dials import MISSING, Dial
from dgccl.robustness.results import DialResult, Step, Tolerance
from dgccl.robustness.scores import TestedModel, changed_arrays, check_reproduced, score, withheld
from dgccl.robustness.steps import bootstrap_weights, step_of, weighted_auroc
from dgccl.robustness.tolerance import tolerance

RATES_PERCENT = tuple(10.0 * tenth for tenth in range(11))
DRAWS = 10
"""Orders in which lesions lose a modality; the figures are means over them."""

Scored = Mapping[float, Sequence[pd.DataFrame]]
"""Predictions at every amount: one table, or several draws of it."""


@dataclass(frozen=True)
class StressSettings:
    """How a stress test is done.

    Attributes:
        loss: fall of the AUROC at which an amount is no longer tolerated.
        seed: of directions, noise, orders and bootstrap samples.
        replicates: bootstrap samples of the tolerance.
        device: `auto`, `cpu` or `cuda`.
    """

    loss: float = 0.02
    seed: int = 2026
    replicates: int = 500
    device: str = "auto"


@dataclass(frozen=True, eq=False)
class Bench:
    """All that every dial needs.

    Attributes:
        box_mm: edge of the stored boxes; NaN without images.
        warnings: gets what is not defined, and why.
    """

    run: FinishedRun
    tables: RunTables
    models: list[TestedModel]
    settings: StressSettings
    box_mm: float
    warnings: list[str]


@dataclass(frozen=True)
class _Told:
    """How a dial is called."""

    name: str
    title: str
    unit: str
    meaning: str
    notes: list[str]


def turn(bench: Bench, dial: Dial, tell: Callable[[], None]) -> dict[str, DialResult]:
    """One dial of images for all models; the images of every amount are made once.

    Args:
        bench: the run and its models.
        dial: to be turned.
        tell: called after every amount.

    Raises:
        TrainingError: with nothing changed, the scores are not those of the run.
    """
    scored: dict[str, dict[float, list[pd.DataFrame]]] = {model.name: {} for model in bench.models}
    for amount in dial.amounts:
        arrays = changed_arrays(bench.run, dial, amount, seed=bench.settings.seed, box_mm=bench.box_mm)
        for model in bench.models:
            rows = score(model, bench.run.cohort.lesions, arrays)
            if amount == 0:
                check_reproduced(model, rows, bench.tables.score_columns)
            scored[model.name][amount] = [rows]
        tell()
    told = _Told(dial.name, dial.title, dial.unit, dial.meaning, _beyond_box(bench, dial))
    return {model.name: _result(bench, model, told, scored[model.name]) for model in bench.models}


def _beyond_box(bench: Bench, dial: Dial) -> list[str]:
    """From which amount on a moved image reaches into what the box does not hold."""
    if not dial.moves_mm:
        return []
    images = bench.models[0].predictors[0].config.images
    moved = {name: settings for name, settings in images.items() if settings.quantity in dial.needs}
    room_mm = {name: max(bench.box_mm - settings.field_mm, 0.0) / 2 for name, settings in moved.items()}
    return [
        f"Around the field of {name.upper()} that the networks see, the box of {bench.box_mm:g} mm holds "
        f"{margin_mm:g} mm. "
        "Where a shift reaches further, the border is repeated."
        for name, margin_mm in room_mm.items()
        if margin_mm < max(dial.amounts)
    ]


def withhold(bench: Bench, model: TestedModel, modality: str) -> DialResult | None:
    """One modality withheld at every rate, from the predictions that the run holds; None where it holds none."""
    tables = bench.tables
    rest = [name for name in tables.modalities if name != modality]
    if not rest:
        return None
    without = tables.rows(model.name, split="test", pattern="+".join(rest))
    # Of a lesion that lacks the modality anyway, nothing can be withheld.
    has = model.rows["modalities_shown"].str.split("+").map(lambda names: modality in names)
    without = without.merge(model.rows.loc[has, ["lesion_id", "fold"]], on=["lesion_id", "fold"])
    if without.empty:
        return None
    gates = [f"gate_{name}" for name in tables.modalities if f"gate_{name}" in model.rows]
    columns = [*tables.score_columns, *gates]
    seeds = np.random.SeedSequence(bench.settings.seed).generate_state(DRAWS).tolist()
    scored = {
        percent: [
            withheld(model.rows, without, rate=percent / 100.0, seed=seed, columns=columns)
            for seed in (seeds if 0 < percent < 100 else seeds[:1])
        ]
        for percent in RATES_PERCENT
    }
    name = modality.upper()
    told = _Told(
        f"{MISSING}{modality}",
        f"{name} missing",
        "%",
        f"Share of the lesions of which {name} is withheld; means over {DRAWS} orders in which they lose it.",
        ["Recalibrated throughout by the temperature that was fitted with all modalities shown."],
    )
    return _result(bench, model, told, scored)


def _result(bench: Bench, model: TestedModel, told: _Told, scored: Scored) -> DialResult:
    """Figures at every amount, and the tolerance in each direction."""
    tables, columns = bench.tables, bench.tables.score_columns
    quiet: list[str] = []  # evaluation has said what the validation lesions of this model do not allow
    temperatures = recalibrate(tables, model.name, tables.full_pattern, warnings=quiet).temperature_by_fold
    limits = calls.thresholds(tables, model.name, quiet) if len(columns) == 1 else []
    steps = [
        step_of(
            amount,
            draws,
            scored[0.0][0],
            what=f"{model.name}, {told.title} {amount:g} {told.unit}".rstrip(),
            columns=columns,
            modalities=tables.modalities,
            temperatures=temperatures,
            limits=limits,
            warnings=bench.warnings,
        )
        for amount, draws in scored.items()
    ]
    found = _tolerances(bench, steps, scored)
    return DialResult(told.name, told.title, told.unit, told.meaning, steps, found, told.notes)


def _tolerances(bench: Bench, steps: Sequence[Step], scored: Scored) -> list[Tolerance]:
    """One in each direction in which amounts were tried; none where an AUROC is not defined."""
    if any(step.change.estimate is None for step in steps):
        return []
    settings, columns = bench.settings, bench.tables.score_columns
    weights = bootstrap_weights(scored[0.0][0], replicates=settings.replicates, seed=settings.seed)
    area = {
        amount: np.mean([weighted_auroc(rows, columns, weights) for rows in draws], axis=0)
        for amount, draws in scored.items()
    }
    change = {step.amount: step.change for step in steps}
    found = []
    for direction, sign in (("up", 1.0), ("down", -1.0)):
        side = sorted((amount for amount in scored if sign * amount >= 0), key=abs)
        if len(side) < 2:
            continue
        samples = np.column_stack([area[amount] - area[0.0] for amount in side])
        found.append(
            tolerance(
                side,
                np.array([change[amount].estimate for amount in side], dtype=np.float64),
                np.array([change[amount].ci_low for amount in side], dtype=np.float64),
                samples[np.isfinite(samples).all(axis=1)],
                direction=direction,
                loss=settings.loss,
                confidence=CONFIDENCE,
            )
        )
    return found
