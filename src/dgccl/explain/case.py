"""One lesion explained: gate weights, shares of the modalities, and a map of each.

It is explained by the network of the fold in which the lesion was tested, which never learned from it, and as it
lies: a run that averages several poses is explained in the first of them, the upright one.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64
from safetensors.numpy import save as to_bytes

from dgccl.dataset import LesionImages
from dgccl.explain.finished_run import FinishedRun
from dgccl.explain.outlines import lesion_outlines
from dgccl.explain.saliency import Question, Saliency, SaliencySettings, image_baselines, saliency
from dgccl.explain.sanity import SaliencySanity, saliency_sanity
from dgccl.explain.shapley import coalitions
from dgccl.explain.worth import Coalitions, check_class, coalition_worth
from dgccl.files import write_atomically
from dgccl.fold_data import PosedLesions
from dgccl.predict import Predictor

FORMAT = 1
PRIOR_RULE = "class frequencies of the fold's training lesions, each class counted once more than seen"
BASELINE_WORDS = {
    "low_end": "low end of each image's window (air on CT, no uptake on PET)",
    "training_mean": "mean upright image of the fold's training lesions",
}
TABLE_BASELINE_WORDS = {
    "integrated_gradients": "numbers known and at their training mean, categories at no level",
    "occlusion": "the column unknown",
}


@dataclass(frozen=True, eq=False)
class CaseExplanation:
    """Why a model decided so about one lesion.

    Attributes:
        facts: everything but the pictures, as it stands in `explanation.json`; log odds are natural logarithms.
        images: per image modality that the lesion has, what the network was shown, 0 to 1, in its input shape.
        outlines: per such modality where the lesion is; absent where it has no outline.
        maps: per modality that the lesion has, log odds by pixel, voxel or column, in its input shape.
    """

    facts: dict[str, Any]
    images: dict[str, Float32[np.ndarray, "..."]]
    outlines: dict[str, Bool[np.ndarray, "..."]]
    maps: dict[str, Float64[np.ndarray, "..."]]


def explain_lesion(
    run: FinishedRun,
    lesion_id: str,
    *,
    model: str,
    settings: SaliencySettings | None = None,
    explained_class: int | None = None,
    device: str = "auto",
    seed: int = 0,
) -> CaseExplanation:
    """Explain one lesion of a finished run.

    Args:
        run: of `finished_run.open_finished`.
        lesion_id: a lesion of the run.
        model: name of the model.
        settings: how the maps are made.
        explained_class: whose log odds; by default class 1 of two, and of more the one that the network favors.
        device: `auto`, `cpu` or `cuda`.
        seed: of the random network that the maps are compared with.

    Raises:
        CohortError: `unknown_lesion`, or the lesion's arrays cannot be read.
        TrainingError: `weights_not_found` (unknown model), `nothing_to_show` (the lesion has no modality).
        ConfigError: `unknown_class`, `patch_out_of_range`, `too_many_modalities`.
    """
    settings = settings or SaliencySettings()
    fold = run.test_fold(lesion_id)
    predictor = Predictor.load(run.run_dir, model=model, folds=[fold], device=device)
    row = np.flatnonzero((run.cohort.lesions["lesion_id"] == lesion_id).to_numpy())
    images = run.images(predictor, row)
    probability = predictor.predict(images).probability[0]
    classes = len(probability)
    chosen = explained_class
    if chosen is None:
        chosen = 1 if classes == 2 else int(probability.argmax())
    check_class(chosen, classes=classes)
    prior = run.prior(fold, classes=classes, explained_class=chosen)
    worth = coalition_worth(
        predictor, images, np.zeros(1, dtype=np.int64), prior=prior, explained_class=chosen
    )
    sanity, found, question = _maps(run, predictor, images, fold, chosen, settings, seed)
    outlines = lesion_outlines(run.cohort.arrays(lesion_id), question, box_mm=images.box_mm)
    facts = {
        **_identity(run, predictor, model=model, fold=fold, row=int(row[0]), explained_class=chosen),
        "probability": float(probability[chosen]),
        "log_odds": float(worth.log_odds[0]),
        "prior": {"log_odds": prior, "rule": PRIOR_RULE},
        "worth": _worth_by_pattern(worth, predictor.config.modality_names),
        "modalities": _modalities(worth, question, sanity, found, outlines, predictor.quantities),
        "saliency": _describe_method(found, seed=seed),
    }
    shown = {name: question.inputs[name][0].cpu().numpy() for name in question.images}
    return CaseExplanation(facts, shown, outlines, found.maps)


def write_case(case: CaseExplanation, folder: Path) -> Path:
    """Write `explanation.json` and, beside it, inputs, outlines and maps as `maps.safetensors`.

    Args:
        case: of `explain_lesion`.
        folder: made if need be; files of an earlier explanation are replaced.

    Returns:
        Path of the JSON file.
    """
    tensors: dict[str, np.ndarray] = {f"{name}/input": values for name, values in case.images.items()}
    tensors |= {f"{name}/outline": values.astype(np.uint8) for name, values in case.outlines.items()}
    tensors |= {f"{name}/saliency": values.astype(np.float32) for name, values in case.maps.items()}
    contiguous = {name: np.ascontiguousarray(values) for name, values in tensors.items()}
    write_atomically(folder / "maps.safetensors", to_bytes(contiguous))
    path = folder / "explanation.json"
    write_atomically(path, json.dumps(case.facts, indent=2, allow_nan=False) + "\n")
    return path


def _maps(
    run: FinishedRun,
    predictor: Predictor,
    images: LesionImages,
    fold: int,
    explained_class: int,
    settings: SaliencySettings,
    seed: int,
) -> tuple[SaliencySanity, Saliency, Question]:
    """The lesion's maps, those of a random network, and the question that both answer."""
    config = predictor.config
    source = PosedLesions(images, config)
    present = images.modality_present
    first = torch.zeros(1, dtype=torch.int64)
    inputs = source.inputs(first, shown=present, device=torch.device(predictor.device))
    shown = tuple(n for n, there in zip(config.modality_names, present[0].tolist(), strict=True) if there)
    question = Question(predictor.networks, config, inputs, shown, explained_class)
    training, rows = source, first
    if settings.baseline == "training_mean" and config.images:
        lesions = run.images(predictor, run.rows(fold, "train"))
        training, rows = PosedLesions(lesions, config), torch.arange(len(lesions))
    baselines = image_baselines(
        training, rows, config=config, baseline=settings.baseline, device=predictor.device
    )
    found = saliency(question, settings=settings, baselines=baselines)
    return saliency_sanity(question, found, baselines=baselines, seed=seed), found, question


def _identity(
    run: FinishedRun, predictor: Predictor, *, model: str, fold: int, row: int, explained_class: int
) -> dict[str, Any]:
    """What was explained: run, model, fold, lesion, class and pose."""
    lesion, names = run.cohort.lesions.iloc[row], predictor.config.model.class_names
    return {
        "format": FORMAT,
        "run": run.name,
        "config_name": predictor.config.name,
        "data_kind": run.facts["data_kind"],
        "model": model,
        "fold": fold,
        "split": "test",
        "lesion_id": str(lesion["lesion_id"]),
        "y_true": int(lesion["label"]),
        "true_class": names[int(lesion["label"])],
        "explained_class": explained_class,
        "explained_class_name": names[explained_class],
        "log_odds_of": f"ln p - ln(1 - p) of {names[explained_class]} against the rest",
        "pose": "upright",
        "prediction_poses": predictor.config.prediction.poses,
    }


def _worth_by_pattern(worth: Coalitions, names: tuple[str, ...]) -> dict[str, float]:
    """Log odds by what was shown, of the modalities that the lesion has; `none` is the prior."""
    there = worth.modality_present[0]
    return {
        "+".join(np.array(names)[members]) or "none": float(value)
        for members, value in zip(coalitions(len(names)), worth.worth[0], strict=True)
        if not (members & ~there).any()
    }


def _modalities(
    worth: Coalitions,
    question: Question,
    sanity: SaliencySanity,
    found_maps: Saliency,
    outlines: Mapping[str, np.ndarray],
    quantities: Mapping[str, str],
) -> dict[str, Any]:
    """Per modality its gate weight, share and what its map says; nulls for one that the lesion lacks."""
    maps, adds_up = found_maps.maps, found_maps.settings.method == "integrated_gradients"
    found: dict[str, Any] = {}
    for index, name in enumerate(question.config.modality_names):
        if name not in question.shown:
            absent = dict.fromkeys(("gate_weight", "shapley_log_odds", "alone_log_odds", "saliency", "input"))
            found[name] = {"present": False, **absent}
            continue
        found[name] = {
            "present": True,
            "gate_weight": None if worth.gate_weights is None else float(worth.gate_weights[0, index]),
            "shapley_log_odds": float(worth.shares[0, index]),
            "alone_log_odds": float(worth.alone[0, index]),
            "saliency": _describe_map(question, name, maps[name], outlines.get(name), adds_up=adds_up)
            | {"rank_correlation_with_random_network": sanity.rank_correlation[name]},
            "input": _describe_input(question, name, quantities),
        }
    return found


def _describe_method(found: Saliency, *, seed: int) -> dict[str, Any]:
    """How the maps were made, and how far they add up."""
    settings = found.settings
    return {
        "method": settings.method,
        "image_baseline": BASELINE_WORDS[settings.baseline],
        "table_baseline": TABLE_BASELINE_WORDS[settings.method],
        "patch_mm": settings.patch_mm if settings.method == "occlusion" else None,
        "steps": found.steps or None,
        "log_odds": found.log_odds,
        "baseline_log_odds": _or_none(found.baseline_log_odds),
        "completeness_residual": _or_none(found.residual),
        "random_network_seed": seed,
    }


def _describe_map(
    question: Question, name: str, values: np.ndarray, outline: np.ndarray | None, *, adds_up: bool
) -> dict[str, Any]:
    """What a map says in numbers: of an image how much of it lies in the outline, of a table every column."""
    described: dict[str, Any] = {
        "sum_log_odds": float(values.sum()) if adds_up else None,
        "strongest_log_odds": float(values.ravel()[np.abs(values).argmax()]),
    }
    table = question.config.tables.get(name)
    if table is not None:
        columns = dict(zip(table.columns, map(float, values), strict=True))
        return described | {"column_log_odds": columns}
    total = float(np.abs(values).sum())
    known = outline is not None and total > 0.0
    return described | {
        "share_in_outline": float(np.abs(values)[outline].sum() / total) if known else None,
        "outline_share_of_image": None if outline is None else float(outline.mean()),
    }


def _describe_input(question: Question, name: str, quantities: Mapping[str, str]) -> dict[str, Any]:
    """What a modality shows the network."""
    table = question.config.tables.get(name)
    if table is not None:
        return {"quantity": "table", "columns": list(table.columns)}
    image = question.config.images[name]
    window = list(image.window)
    return {"quantity": quantities[name], "window": window, "view": image.view, "field_mm": image.field_mm}


def _or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
