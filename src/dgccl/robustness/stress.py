"""`dgccl stress`: turn every dial on a finished run's test lesions and see what is lost."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from dgccl import __version__
from dgccl.config import ImageConfig
from dgccl.errors import ConfigError
from dgccl.evaluation.areas import CONFIDENCE, first_model
from dgccl.evaluation.run_tables import read_tables
from dgccl.explain.finished_run import open_finished
from dgccl.files import write_atomically
from dgccl.robustness.dials import ANY_IMAGE, MISSING, Dial, choose_dials
from dgccl.robustness.results import STRESS_FILE, DialResult, Stress, StressMeta, run_hash
from dgccl.robustness.scores import TestedModel, open_model
from dgccl.robustness.turning import Bench, StressSettings, turn, withhold

Progress = Callable[[str, int, int], None]
FIGURES = ("auroc", "change", "slope", "in_the_large", "brier")


def stress(
    run_dir: Path,
    *,
    models: Sequence[str] = (),
    dials: Sequence[str] = (),
    settings: StressSettings | None = None,
    cohort_dir: Path | None = None,
    command: str = "",
    progress: Progress | None = None,
) -> Stress:
    """Turn the dials and write `stress.json` and `stress.csv` into the run.

    Args:
        run_dir: a finished run.
        models: which of its models, the first of the report if none is named.
        dials: which dials, all if none is named.
        settings: loss, seed, samples, device.
        cohort_dir: the cohort, if it has moved since training.
        command: what was called, for the record.
        progress: told of each finished step.

    Raises:
        DgcclError: the run, the cohort, a model or a dial is not there, or the run's scores do not come out again.
    """
    settings = settings or StressSettings()
    if not 0.0 < settings.loss < 0.5 or settings.replicates < 100:
        raise ConfigError(
            "bad_stress_settings",
            f"The loss must lie between 0 and 0.5 (found {settings.loss}) and the bootstrap samples be 100 or more "
            f"(found {settings.replicates}).",
        )
    run, tables = open_finished(run_dir, cohort_dir=cohort_dir), read_tables(run_dir)
    image_dials, modalities = choose_dials(tuple(dials), modalities=tuple(tables.modalities))
    names = dict.fromkeys(models or [first_model(tables)])
    tested = [open_model(run, tables, name, device=settings.device) for name in names]
    box_mm = float("nan") if run.cohort.is_table else float(run.cohort.lesions["box_mm"].iloc[0])
    bench = Bench(run, tables, tested, settings, box_mm, [])
    useful, idle = _applicable(image_dials, tested[0])
    found: dict[str, list[DialResult]] = {name: [] for name in names}
    steps, done = sum(len(dial.amounts) for dial in useful) + len(modalities), 0

    def tell() -> None:
        nonlocal done
        done += 1
        if progress:
            progress("Turning dials", done, steps)

    for dial in useful:
        for name, result in turn(bench, dial, tell).items():
            found[name].append(result)
    for modality in modalities:
        for model in tested:
            withheld = withhold(bench, model, modality)
            if withheld is None:
                idle[f"{MISSING}{modality}"] = f"No lesion was scored without {modality}."
            else:
                found[model.name].append(withheld)
        tell()
    stressed = Stress(_meta(bench, command), found, idle, _warnings(bench, found))
    write_atomically(run_dir / "stress.csv", _as_csv(stressed))
    write_atomically(run_dir / STRESS_FILE, json.dumps(stressed.to_json(), indent=1, allow_nan=False))
    return stressed


def _applicable(dials: Sequence[Dial], model: TestedModel) -> tuple[list[Dial], dict[str, str]]:
    """The dials that change what the networks see, and why the others do not."""
    shown = {settings.quantity for settings in model.predictors[0].config.images.values()}
    useful, idle = [], {}
    for dial in dials:
        if shown & set(dial.needs):
            useful.append(dial)
        elif not shown & set(ANY_IMAGE):
            idle[dial.name] = "The run reads no images."
        else:
            idle[dial.name] = "The run reads no image of the kind that this dial changes."
    return useful, idle


def _warnings(bench: Bench, found: dict[str, list[DialResult]]) -> list[str]:
    """What a reader must know before any figure."""
    said = list(dict.fromkeys(bench.warnings))
    if bench.run.facts["data_kind"] == "phantom":
        said.insert(0, "These are results on a digital phantom. They say nothing about patients.")
    for name, results in found.items():
        base = next((s.auroc for r in results for s in r.steps if s.amount == 0), None)
        if base and base.ci_low is not None and base.ci_low <= 0.5:
            said.append(
                f"{name}: with nothing changed, the interval of the AUC includes 0.5. What ranks by chance has little "
                "to lose, and its tolerances mean nothing."
            )
    images: dict[str, ImageConfig] = bench.models[0].predictors[0].config.images
    others = [name for name, settings in images.items() if settings.quantity == "intensity"]
    if others:
        said.append(f"No dial but the outline's changes the images without a scale: {', '.join(others)}.")
    return said


def _meta(bench: Bench, command: str) -> StressMeta:
    facts, cohort = bench.run.facts, bench.tables.cohort
    return StressMeta(
        run=bench.run.name,
        data_kind=str(facts["data_kind"]),
        seed=bench.settings.seed,
        loss=bench.settings.loss,
        replicates=bench.settings.replicates,
        dgccl_version=__version__,
        cohort_sha256=str(facts["cohort_sha256"]),
        run_sha256=run_hash(bench.run.run_dir),
        command=command,
        n_lesions=len(cohort),
        n_patients=int(cohort["patient_id"].nunique()),
        confidence=CONFIDENCE,
    )


def _as_csv(stressed: Stress) -> str:
    """One row a model, dial and amount."""
    rows: list[dict[str, Any]] = []
    for model, results in stressed.models.items():
        for result in results:
            for step in result.steps:
                row: dict[str, Any] = {"model": model, "dial": result.dial, "unit": result.unit}
                row["amount"] = step.amount
                for name in FIGURES:
                    figure = getattr(step, name)
                    row[name] = figure.estimate
                    row |= {f"{name}_ci_low": figure.ci_low, f"{name}_ci_high": figure.ci_high}
                row["calls_changed"] = step.calls_changed
                row |= {f"gate_{name}": weight for name, weight in step.gate_weights.items()}
                rows.append(row)
    return pd.DataFrame(rows).to_csv(index=False, lineterminator="\n")
