"""Answers about what the networks read: which inputs, how they were made, and what happens if one is missing."""

from typing import Any

import numpy as np

from dgccl.cohort import Cohort
from dgccl.config import TableConfig
from dgccl.report import qc, text
from dgccl.report.checklists.said import joined, percent, plain
from dgccl.report.run_files import RunFiles
from dgccl.table_values import table_values

QUANTITIES = {
    "hu": "HU", "suv_bw": "SUVbw", "sul": "SUL", "suv_bsa": "SUVbsa", "intensity": "robust z-scores",
}  # fmt: skip
"""What the voxels of an image are called; `suv` alone leaves open which SUV it was."""
VIEWS = {"axial": "one axial plane", "orthogonal": "three orthogonal planes", "volume": "a cube"}
TABLE = "table"
MOST_COLUMNS = 12
"""Columns of a table beyond which their names are left to the configuration."""


def inputs(run: RunFiles, cohort: Cohort) -> str | None:
    """Which inputs there are, and that the run chose none of them."""
    return joined(_definitions(run), "The run selects no input: all that the configuration names is read.")


def input_definitions(run: RunFiles, cohort: Cohort) -> str | None:
    """What each input is, and how images were acquired."""
    return joined(_definitions(run), _shown(run), _boxes(cohort))


def scaling(run: RunFiles, cohort: Cohort) -> str | None:
    """How values are scaled before a network reads them."""
    return joined(*(_scaled(name, settings, run) for name, settings in _modalities(run)))


def crops(run: RunFiles, cohort: Cohort) -> str | None:
    """Which part of an image is stored and shown; nothing of a table."""
    return joined(_boxes(cohort), _shown(run))


def preparation(run: RunFiles, cohort: Cohort) -> str | None:
    """Boxes, registration, scaling and the decisions of quality control."""
    refused, _ = qc.decisions(cohort)
    return joined(_boxes(cohort), _registered(cohort), _shown(run), scaling(run, cohort) or "", refused)


def missing_data(run: RunFiles, cohort: Cohort) -> str | None:
    """What is missing, and how the networks are trained and tested without it."""
    tables = [(name, settings) for name, settings in _modalities(run) if settings["quantity"] == TABLE]
    return joined(
        _lacking(run),
        masked(run),
        _withheld(run),
        *(_missing_values(name, settings, cohort) for name, settings in tables),
        "A missing number of a table is the training mean beside a flag, a missing category sets no level."
        if tables
        else "",
        qc.decisions(cohort)[0],
    )


def masked(run: RunFiles) -> str:
    """What the models do without a modality."""
    alone = any(name.startswith(text.SINGLE) for name in run.models)
    return (
        joined(
            "A missing modality is masked, never shown as an empty image."
            if _fused(run) and len(run.modalities) > 1
            else "",
            "A model of one modality judges only the lesions that have it." if alone else "",
        )
        or ""
    )


def _modalities(run: RunFiles) -> list[tuple[str, dict[str, Any]]]:
    return list(run.config["modalities"].items())


def _quantity(name: str, settings: dict[str, Any], run: RunFiles) -> str:
    """What an image shows, as the run settled it; empty where that is not known."""
    chosen = (run.run.get("quantities") or {}).get(name, settings["quantity"])
    return QUANTITIES.get(str(chosen), "")


def _table_of(settings: dict[str, Any]) -> str:
    """How large a table is, and the names of its columns where they are few."""
    names = [*settings.get("numbers", ()), *settings.get("categories", ())]
    listed = f": {', '.join(names)}" if len(names) <= MOST_COLUMNS else ""
    return f"a table of {text.count(len(names), 'column')}{listed}"


def _missing_values(name: str, settings: dict[str, Any], cohort: Cohort) -> str:
    """How many values of a table no lesion's row has, as the networks read them."""
    values = table_values(cohort.lesions, TableConfig.model_validate(settings), name=name)
    missing = int(np.isnan(values).sum())
    return f"Values of {text.modality_name(name)} that are missing: {missing} of {values.size}."


def _definitions(run: RunFiles) -> str:
    said = []
    for name, settings in _modalities(run):
        words = text.modality_name(name)
        quantity = _quantity(name, settings, run)
        if settings["quantity"] == TABLE:
            said.append(f"{words} is {_table_of(settings)}.")
        elif quantity:
            said.append(f"{words} is read as {quantity}.")
    return " ".join(said)


def _scaled(name: str, settings: dict[str, Any], run: RunFiles) -> str:
    words = text.modality_name(name)
    if settings["quantity"] == TABLE:
        return " ".join(
            [f"{words}: numbers are standardized by the training lesions of each fold."]
            * bool(settings.get("numbers"))
            + [f"{words}: categories are read as flags, one a level."] * bool(settings.get("categories"))
        )
    if "window" not in settings:
        return ""
    low, high = (plain(float(end)) for end in settings["window"])
    quantity = _quantity(name, settings, run)
    what = f"{quantity} from {low} to {high}" if quantity else f"{low} to {high}"
    return f"{words}: {what} become 0 to 1, values outside are clipped."


def _shown(run: RunFiles) -> str:
    """What of each image is shown to its encoder."""
    said = [
        f"{text.modality_name(name)} is shown as {VIEWS[settings['view']]}, {plain(settings['field_mm'])} mm and "
        f"{settings['input_px']} pixels along an edge."
        for name, settings in _modalities(run)
        if {"view", "field_mm", "input_px"} <= set(settings)
    ]
    return " ".join(said)


def _boxes(cohort: Cohort) -> str:
    """Which box ingestion stored around every lesion."""
    box = cohort.manifest.get("settings", {}).get("box")
    if not isinstance(box, dict):
        return ""
    edge, ct, pet = (plain(float(box[key])) for key in ("box_mm", "ct_spacing_mm", "pet_spacing_mm"))
    return f"Stored around every lesion: a box of {edge} mm, resampled to {ct} mm (CT) and {pet} mm (PET)."


def _registered(cohort: Cohort) -> str:
    """In how many patients PET was moved onto CT."""
    found = cohort.manifest.get("registrations")
    if not found:
        return ""
    moved = sum(1 for entry in found.values() if entry and entry["reason"] == "registered")
    return f"PET was moved onto CT by rigid registration in {moved} of {text.count(len(found), 'patient')}."


def _fused(run: RunFiles) -> list[str]:
    """Models that read every modality."""
    return [name for name in run.models if not name.startswith(text.SINGLE)]


def _lacking(run: RunFiles) -> str:
    """How many test lesions lack a modality, by a model that reads all of them; empty if there is no such model."""
    fused = _fused(run)
    if not fused or len(run.modalities) < 2:
        return ""
    rows = run.test_rows(fused[0])
    lacking = int((rows["modalities_shown"] != run.full_pattern).sum())
    if not lacking:
        return "Every test lesion has every modality."
    return f"Test lesions that lack a modality, scored from what they have: {lacking} of {len(rows)}."


def _withheld(run: RunFiles) -> str:
    share = run.config.get("augmentation", {}).get("modality_dropout")
    if not share or len(run.modalities) < 2:
        return ""
    return f"In training, {percent(share)} of the lesions with several modalities lose one, drawn anew each epoch."
