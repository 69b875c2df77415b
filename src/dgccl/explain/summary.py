"""What the explained lesions of a run say together, as data: written before anything is drawn."""

import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dgccl.errors import StatsError
from dgccl.explain.case import FORMAT, PRIOR_RULE
from dgccl.explain.cohort_level import CohortExplanation
from dgccl.explain.finished_run import FinishedRun
from dgccl.explain.gate_meaning import gate_meaning
from dgccl.explain.groups import complete_rows, group_means, ideal_agreement, trends
from dgccl.explain.resample import CONFIDENCE, DRAWS, SEED
from dgccl.explain.solid_fraction import WORDS
from dgccl.files import write_atomically

SUMMARY_FILE, TABLE_FILE = "cohort.json", "explanations"


def summarize(
    run: FinishedRun, explained: CohortExplanation, *, model: str, draws: int = DRAWS
) -> dict[str, Any]:
    """Gate against shares, and both by class, size and solid fraction, with intervals by patient.

    Args:
        run: the run.
        explained: its test lesions.
        model: whose explanations these are.
        draws: of the bootstrap.

    Returns:
        What `cohort.json` holds; `gate_meaning` is None and `no_gate` says why where the model has no gate.
    """
    names = explained.modalities
    try:
        meaning, no_gate = asdict(gate_meaning(explained.table, modalities=names, draws=draws)), None
    except StatsError as error:
        if error.code not in ("no_gate", "no_cases"):
            raise
        meaning, no_gate = None, error.message
    whole = complete_rows(explained)
    explained_name = explained.class_names[explained.explained_class]
    return {
        "format": FORMAT,
        "run": run.name,
        "data_kind": run.facts["data_kind"],
        "config_name": run.facts["config_name"],
        "model": model,
        "modalities": list(names),
        "class_names": list(explained.class_names),
        "explained_class": explained.explained_class,
        "log_odds_of": f"ln p - ln(1 - p) of {explained_name} against the rest",
        "pose": "upright",
        "networks": "each lesion by the network of the fold in which it was tested",
        "prior_rule": PRIOR_RULE,
        "n_lesions": len(explained.table),
        "n_complete": len(whole),
        "n_patients": int(explained.table["patient_id"].nunique()),
        "solid_fraction_from": WORDS[explained.solid_source],
        "intervals": {
            "confidence": CONFIDENCE,
            "method": "percentile bootstrap by patient",
            "draws": draws,
            "seed": SEED,
        },
        "gate_meaning": meaning,
        "no_gate": no_gate,
        "groups": [asdict(item) for item in group_means(explained, draws=draws)],
        "trends": [asdict(item) for item in trends(explained, draws=draws)],
        "ideal_observer": {k: asdict(v) for k, v in ideal_agreement(explained, draws=draws).items()},
    }


def write_cohort(explained: CohortExplanation, summary: dict[str, Any], folder: Path) -> Path:
    """Write `explanations.parquet`, the same as `explanations.csv`, and `cohort.json`.

    Args:
        explained: the lesions.
        summary: of `summarize`.
        folder: made if need be; files of an earlier explanation are replaced.

    Returns:
        Path of the JSON file.
    """
    parquet = io.BytesIO()
    explained.table.to_parquet(parquet, index=False)
    write_atomically(folder / f"{TABLE_FILE}.parquet", parquet.getvalue())
    write_atomically(folder / f"{TABLE_FILE}.csv", explained.table.to_csv(index=False))
    path = folder / SUMMARY_FILE
    write_atomically(path, json.dumps(summary, indent=2, allow_nan=False) + "\n")
    return path
