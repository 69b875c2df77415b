"""All test lesions of a run explained, each by the network that never learned from it: one table."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int64

from dgccl.dataset import LesionImages
from dgccl.explain.finished_run import FinishedRun
from dgccl.explain.shapley import shapley_values
from dgccl.explain.solid_fraction import IDEAL_COLUMNS, SolidFraction, solid_fraction
from dgccl.explain.worth import coalition_worth, need_class
from dgccl.fold_data import LesionSource
from dgccl.predict import Predictor

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class CohortExplanation:
    """The explained test lesions of one model.

    Attributes:
        table: a row a lesion: lesion_id, patient_id, fold, y_true, what `cohort_explanations` gives, diameter_mm,
            solid_fraction and, of a phantom by CT and PET, ideal_shapley_*: the same shares of the ideal observer,
            who knows the phantom's law.
        modalities: their names.
        class_names: in the order of the labels.
        explained_class: whose log odds.
        solid_source: where the solid fractions are from, see `solid_fraction.WORDS`.
    """

    table: pd.DataFrame
    modalities: tuple[str, ...]
    class_names: tuple[str, ...]
    explained_class: int
    solid_source: str


def cohort_explanations(
    predictor: Predictor,
    images: LesionImages | LesionSource,
    rows: Int64[np.ndarray, "lesion"],
    *,
    prior: float,
    explained_class: int = 1,
) -> pd.DataFrame:
    """Gate weights and exact Shapley shares of some lesions, as they lie.

    Args:
        predictor: networks that learned from none of these lesions.
        images: lesions in memory, or a source of their inputs in the upright pose, as the benchmark has it.
        rows: which of them, (n,).
        prior: log odds of the explained class with nothing shown, of `worth.prior_log_odds`.
        explained_class: whose log odds.

    Returns:
        A row a lesion, in the order of `rows`: modalities_shown, logit (log odds of the explained class against the
        rest), prior_log_odds, and per modality gate_* (NaN throughout for a model without a gate), shapley_* (rows sum
        to logit - prior_log_odds) and alone_* (log odds with only this one shown), each NaN where the lesion lacks it.

    Raises:
        ConfigError: `too_many_modalities`, `unknown_class`.
        TrainingError: `nothing_to_show`.
    """
    found = coalition_worth(predictor, images, rows, prior=prior, explained_class=explained_class)
    names, present = predictor.config.modality_names, found.modality_present
    columns: dict[str, object] = {
        "modalities_shown": ["+".join(np.array(names)[row]) for row in present],
        "logit": found.log_odds,
        "prior_log_odds": np.full(len(rows), prior),
    }
    nothing = np.full(present.shape, np.nan)
    parts = {
        "gate": nothing if found.gate_weights is None else found.gate_weights,
        "shapley": found.shares,
        "alone": found.alone,
    }
    for part, values in parts.items():
        known = np.where(present, values, np.nan)
        columns |= {f"{part}_{name}": known[:, index] for index, name in enumerate(names)}
    return pd.DataFrame(columns)


def explain_cohort(
    run: FinishedRun,
    *,
    model: str,
    explained_class: int | None = None,
    truth_csv: Path | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> CohortExplanation:
    """Explain every test lesion of a run, fold by fold.

    Args:
        run: of `finished_run.open_finished`.
        model: name of the model.
        explained_class: whose log odds; class 1 of two, and of more it must be named.
        truth_csv: a phantom's truth.csv, if it is not found beside the cohort.
        device: `auto`, `cpu` or `cuda`.
        progress: called with what is done, folds done, and folds.

    Raises:
        TrainingError: `weights_not_found`, `nothing_to_show`.
        ConfigError: `class_not_named`, `unknown_class`, `too_many_modalities`.
        CohortError: arrays cannot be read; `truth_unreadable`, `truth_mismatch`.
    """
    solid = solid_fraction(run.cohort, truth_csv=truth_csv)
    lesions, parts, config = run.cohort.lesions, [], None
    folds = sorted(run.folds["fold"].unique().tolist())
    for done, fold in enumerate(folds, start=1):
        predictor = Predictor.load(run.run_dir, model=model, folds=[fold], device=device)
        config = predictor.config
        chosen = need_class(explained_class, classes=config.model.classes)
        rows = run.rows(fold, "test")
        prior = run.prior(fold, classes=config.model.classes, explained_class=chosen)
        found = cohort_explanations(
            predictor, run.images(predictor, rows), np.arange(len(rows)), prior=prior, explained_class=chosen
        )
        identity = lesions.iloc[rows][["lesion_id", "patient_id"]].reset_index(drop=True)
        identity = identity.assign(fold=fold, y_true=lesions["label"].to_numpy()[rows])
        ideal = set(config.modality_names) == {"ct", "pet"} and (config.model.classes, chosen) == (2, 1)
        parts.append(pd.concat([identity, found, _covariates(run, solid, rows, ideal=ideal)], axis=1))
        if progress is not None:
            progress(f"Explaining {model}", done, len(folds))
    assert config is not None
    names = config.modality_names
    return CohortExplanation(
        pd.concat(parts, ignore_index=True), names, config.model.class_names, chosen, solid.source
    )


def _covariates(
    run: FinishedRun, solid: SolidFraction, rows: Int64[np.ndarray, "lesion"], *, ideal: bool
) -> pd.DataFrame:
    """What is known of the lesions beside the networks' answers; NaN where it is not."""
    lesions = run.cohort.lesions.iloc[rows]
    columns = {"solid_fraction": solid.values[rows]}
    if "diameter_mm" in lesions:
        columns = {"diameter_mm": lesions["diameter_mm"].to_numpy(np.float64)} | columns
    truth = None if solid.truth is None else solid.truth.iloc[rows]
    if ideal and truth is not None and set(IDEAL_COLUMNS) <= set(truth.columns):
        shares = ideal_shares(truth[list(IDEAL_COLUMNS)].to_numpy(np.float64))
        columns |= {"ideal_shapley_ct": shares[:, 0], "ideal_shapley_pet": shares[:, 1]}
    return pd.DataFrame(columns)


def ideal_shares(ratios: Float64[np.ndarray, "lesion 3"]) -> Float64[np.ndarray, "lesion 2"]:
    """Shapley shares of CT and PET in the log odds of the phantom's ideal observer; its prior cancels.

    Args:
        ratios: log likelihood ratios of what CT shows, PET shows, and both show, (n, 3).
    """
    return shapley_values(np.concatenate([np.zeros((len(ratios), 1)), ratios], axis=1))
