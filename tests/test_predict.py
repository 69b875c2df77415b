"""One Predictor: what cross-validation wrote is what a clinic gets; what is hidden has no influence."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from dgccl.cohort import Cohort
from dgccl.dataset import LesionImages, load_images
from dgccl.errors import CohortError, TrainingError
from dgccl.predict import Predictor, modality_patterns
from dgccl.prediction_table import prediction_rows
from dgccl.training import train

from .tiny_cohort import WITHOUT_PET, tiny_config, write_tiny_cohort

CONFIG = tiny_config(epochs=1)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return write_tiny_cohort(tmp_path_factory.mktemp("tiny") / "cohort")


@pytest.fixture(scope="module")
def run_dir(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(cohort, tmp_path_factory.mktemp("run") / "run", CONFIG, device="cpu")


@pytest.fixture(scope="module")
def images(cohort: Cohort) -> LesionImages:
    return load_images(cohort, CONFIG.modalities, quantities={"ct": "hu", "pet": "sul"})


def stored(run_dir: Path, model: str, fold: int, split: str = "test") -> pd.DataFrame:
    table = pd.read_parquet(run_dir / "predictions.parquet")
    chosen = (table["model"] == model) & (table["fold"] == fold) & (table["split"] == split)
    return table.loc[chosen].reset_index(drop=True)


@pytest.mark.parametrize("model", ["dgccl", "late_fusion"])
@pytest.mark.parametrize("split", ["validation", "test"])
def test_reloaded_weights_give_the_stored_table(
    model: str, split: str, run_dir: Path, cohort: Cohort, images: LesionImages
) -> None:
    predictor = Predictor.load(run_dir, model=model, folds=[1], device="cpu")
    expected = stored(run_dir, model, 1, split)
    position = {lesion: row for row, lesion in enumerate(cohort.lesions["lesion_id"])}
    complete = expected.loc[expected["pattern"] == "ct+pet", "lesion_id"]
    rows = np.array([position[lesion] for lesion in complete])
    found = prediction_rows(predictor, images, lesions=cohort.lesions, rows=rows)
    pd.testing.assert_frame_equal(found, expected[found.columns], check_exact=True)


@pytest.mark.parametrize("model", ["dgccl", "late_fusion"])
def test_a_clinic_with_one_lesion_gets_what_evaluation_scored(
    model: str, run_dir: Path, cohort: Cohort
) -> None:
    predictor = Predictor.load(run_dir, model=model, folds=[0], device="cpu")
    table = stored(run_dir, model, 0)
    for _, row in table.loc[table["pattern"] == "ct+pet"].iterrows():
        lesion = cohort.lesions.loc[cohort.lesions["lesion_id"] == row["lesion_id"]]
        prediction = predictor.predict(predictor.read([cohort.arrays(row["lesion_id"])], lesion))
        # Batches of another size may add up in another order: equal to single precision, not bit by bit.
        assert prediction.probability[0, 1] == pytest.approx(row["y_score"], abs=2e-6)
        np.testing.assert_allclose(prediction.probability.sum(axis=1), 1.0, atol=1e-6)


def test_networks_of_several_folds_are_averaged(run_dir: Path, images: LesionImages) -> None:
    both = Predictor.load(run_dir, model="dgccl", device="cpu").predict(images)
    each = [
        Predictor.load(run_dir, model="dgccl", folds=[fold], device="cpu").predict(images) for fold in (0, 1)
    ]
    np.testing.assert_array_equal(both.probability_by_network, [one.probability for one in each])
    np.testing.assert_allclose(both.probability, (each[0].probability + each[1].probability) / 2, atol=1e-7)
    assert both.gate_weights is not None
    assert each[0].gate_weights is not None
    assert each[1].gate_weights is not None
    np.testing.assert_allclose(
        both.gate_weights, (each[0].gate_weights + each[1].gate_weights) / 2, atol=1e-7
    )
    assert both.embeddings is None
    assert both.fused is None
    assert each[0].fused is not None
    assert each[0].fused.shape == (24, 8)


def test_what_is_not_shown_has_no_influence(run_dir: Path, images: LesionImages) -> None:
    predictor = Predictor.load(run_dir, model="dgccl", folds=[0], device="cpu")
    rows = np.flatnonzero(images.modality_present.all(dim=1).numpy())
    hidden = LesionImages(
        images.volumes | {"pet": torch.full_like(images.volumes["pet"], torch.nan)},
        images.modality_present,
        images.box_mm,
    )
    first = predictor.predict(images, rows=rows, shown=["ct"])
    again = predictor.predict(hidden, rows=rows, shown=["ct"])
    np.testing.assert_array_equal(first.probability, again.probability)
    assert first.gate_weights is not None
    np.testing.assert_array_equal(
        first.gate_weights, np.tile([[1.0, 0.0]], (len(rows), 1)).astype(np.float32)
    )
    shown_both = predictor.predict(images, rows=rows)
    assert not np.allclose(first.probability, shown_both.probability)


def test_prediction_is_repeatable_and_leaves_dropout_off(run_dir: Path, images: LesionImages) -> None:
    predictor = Predictor.load(run_dir, model="dgccl", folds=[0], device="cpu")
    first = predictor.predict(images)
    predictor.networks[0].train()
    np.testing.assert_array_equal(predictor.predict(images).probability, first.probability)


def test_nothing_to_show_is_refused(run_dir: Path, images: LesionImages) -> None:
    predictor = Predictor.load(run_dir, model="dgccl", folds=[0], device="cpu")
    with pytest.raises(TrainingError, match="1 of 2 lesions have none of pet") as caught:
        predictor.predict(images, rows=np.array([0, WITHOUT_PET[0]]), shown=["pet"])
    assert caught.value.code == "nothing_to_show"
    with pytest.raises(TrainingError, match="0 of 0"):
        predictor.predict(images, rows=np.array([], dtype=np.int64))


def test_a_lesion_without_the_trained_quantity_is_refused(run_dir: Path, cohort: Cohort) -> None:
    predictor = Predictor.load(run_dir, model="dgccl", folds=[0], device="cpu")
    assert predictor.quantities["pet"] == "sul"
    lesion = cohort.lesions.iloc[[0]].assign(sul_per_suv_bw=np.nan)
    with pytest.raises(CohortError) as caught:
        predictor.read([cohort.arrays("L00")], lesion)
    assert caught.value.code == "quantity_unavailable"


@pytest.mark.parametrize(("model", "folds"), [("dgccl", [5]), ("resnet", [0]), ("../dgccl", [0])])
def test_weights_that_are_not_there_are_named(model: str, folds: list[int], run_dir: Path) -> None:
    with pytest.raises(TrainingError, match=f"model {model}, fold {folds[0]}") as caught:
        Predictor.load(run_dir, model=model, folds=folds, device="cpu")
    assert caught.value.code == "weights_not_found"


def test_folders_that_are_no_run_or_are_damaged_are_refused(run_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError) as caught:
        Predictor.load(tmp_path, model="dgccl")
    assert caught.value.code == "not_a_run"
    shutil.copytree(run_dir, tmp_path / "run")
    (tmp_path / "run" / "config.json").write_text("{")
    with pytest.raises(TrainingError, match=r"config\.json") as caught:
        Predictor.load(tmp_path / "run", model="dgccl")
    assert caught.value.code == "run_file_damaged"
    (tmp_path / "run" / "run.json").write_text("[")
    with pytest.raises(TrainingError, match=r"run\.json") as caught:
        Predictor.load(tmp_path / "run", model="dgccl")
    assert caught.value.code == "run_file_damaged"


def test_patterns_are_all_choices_largest_first() -> None:
    assert modality_patterns(["ct", "pet"]) == [("ct", "pet"), ("ct",), ("pet",)]
    assert len(modality_patterns(["ct", "pet", "clinical"])) == 7
