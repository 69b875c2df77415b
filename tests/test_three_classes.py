"""Three classes and every model, from training to the report; what the folds and the table do with more classes."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dgccl.cohort import Cohort
from dgccl.config import FUSION_MODELS, ExperimentConfig, ModelConfig, load_config
from dgccl.dataset import load_images
from dgccl.errors import CohortError, ConfigError, TrainingError
from dgccl.evaluation import evaluate
from dgccl.folds import patient_classes, split_folds
from dgccl.predict import Predictor
from dgccl.prediction_table import prediction_rows
from dgccl.report import write_report
from dgccl.training import _check_single_models, train

from .tiny_cohort import WITHOUT_CT, WITHOUT_PET, tiny_config, write_tiny_cohort

NAMES = ("adenocarcinoma", "squamous", "benign")
MODELS = (*FUSION_MODELS, "single_ct", "single_pet")
SCORES = ["y_score_0", "y_score_1", "y_score_2"]


def three_class_config(models: tuple[str, ...]) -> ExperimentConfig:
    content = tiny_config().model_dump()
    content["model"] |= {"classes": 3, "class_names": NAMES}
    return ExperimentConfig.model_validate(content | {"models": models})


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    labels = [index // 2 % 3 for index in range(30)]
    return write_tiny_cohort(tmp_path_factory.mktemp("tiny") / "cohort", lesions=30, labels=labels)


@pytest.fixture(scope="module")
def run_dir(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("run") / "run"
    return train(cohort, run, three_class_config(MODELS), device="cpu")


def test_the_table_holds_a_probability_of_every_class(run_dir: Path, cohort: Cohort) -> None:
    table = pd.read_parquet(run_dir / "predictions.parquet")
    assert "y_score" not in table
    np.testing.assert_allclose(table[SCORES].sum(axis=1), 1.0, atol=1e-5)
    test = table.loc[(table["split"] == "test") & (table["pattern"] == "ct+pet")]
    lacking = {"single_ct": WITHOUT_CT, "single_pet": WITHOUT_PET}
    for model in MODELS:
        found = test.loc[test["model"] == model, "lesion_id"]
        gone = {f"L{index:02d}" for index in lacking.get(model, ())}
        assert sorted(found) == sorted(set(cohort.lesions["lesion_id"]) - gone)
    patterns = table.groupby("model")["pattern"].unique()
    assert set(patterns["single_ct"]) == {"ct+pet", "ct"}
    assert set(patterns["single_pet"]) == {"ct+pet", "pet"}
    assert set(patterns["dgccl"]) == {"ct+pet", "ct", "pet"}


def test_evaluation_and_report_of_three_classes(run_dir: Path, cohort: Cohort) -> None:
    results = evaluate(run_dir)
    assert list(results.models) == list(MODELS)
    assert results.meta.n_by_class == dict.fromkeys(NAMES, 10)
    for name, model in results.models.items():
        assert model.auroc.method == "clustered_stratified_macro_logit_delong", name
        assert model.auroc.estimate is not None
        assert model.multiclass is not None
        counts = np.array(model.multiclass.confusion)
        assert counts.shape == (3, 3)
        assert model.multiclass.accuracy.n == counts.sum()
        assert [entry.sensitivity.n for entry in model.multiclass.by_class.values()] == counts.sum(
            axis=1
        ).tolist()
    assert results.models["early_fusion"].cosine is None
    assert results.models["dgccl"].cosine is not None
    assert results.models["summed_logits"].gate is None
    assert [test.b for test in results.delong] == list(MODELS[1:])
    page = write_report(run_dir, cohort=cohort).read_text(encoding="utf-8")
    assert "DG-CCL on CT and PET: adenocarcinoma, squamous or benign" in page
    assert "PET-only network" in page


def test_a_reloaded_network_of_one_modality_gives_the_stored_rows(run_dir: Path, cohort: Cohort) -> None:
    predictor = Predictor.load(run_dir, model="single_pet", folds=[0], device="cpu")
    images = load_images(cohort, predictor.config.modalities, quantities=predictor.quantities)
    stored = pd.read_parquet(run_dir / "predictions.parquet")
    stored = stored.loc[
        (stored["model"] == "single_pet") & (stored["fold"] == 0) & (stored["split"] == "test")
    ]
    folds = pd.read_csv(run_dir / "folds.csv")
    wanted = folds.loc[(folds["fold"] == 0) & (folds["split"] == "test"), "lesion_id"]
    rows = np.flatnonzero(cohort.lesions["lesion_id"].isin(wanted))
    found = prediction_rows(predictor, images, lesions=cohort.lesions, rows=rows)
    pd.testing.assert_frame_equal(found, stored[found.columns].reset_index(drop=True), check_exact=True)
    with pytest.raises(TrainingError, match="pet alone cannot judge any of 2 lesions") as caught:
        prediction_rows(predictor, images, lesions=cohort.lesions, rows=np.array(WITHOUT_PET))
    assert caught.value.code == "nothing_to_judge"


def test_a_class_without_lesions_is_refused_before_training(tmp_path: Path) -> None:
    labels = [2 * (index // 2 % 2) for index in range(24)]
    cohort = write_tiny_cohort(tmp_path / "cohort", labels=labels)
    with pytest.raises(CohortError, match="no lesion of label 1") as caught:
        train(cohort, tmp_path / "run", three_class_config(("dgccl",)), device="cpu")
    assert caught.value.code == "class_without_lesions"
    assert not (tmp_path / "run").exists()


def test_a_model_of_one_modality_needs_it_in_every_split(tmp_path: Path) -> None:
    cohort, content = write_tiny_cohort(tmp_path / "cohort"), tiny_config().model_dump()
    config = ExperimentConfig.model_validate(content | {"models": ("dgccl", "single_pet")})
    splits = split_folds(cohort.lesions, folds=2, validation_fraction=0.2, seed=config.seed)
    images = load_images(cohort, config.modalities, quantities={"ct": "hu", "pet": "sul"})
    images.modality_present[2:, 1] = False
    with pytest.raises(CohortError, match="single_pet cannot judge any of the") as caught:
        _check_single_models(images, splits, config)
    assert caught.value.code == "nothing_to_judge"
    one = ExperimentConfig.model_validate(content | {"models": ("dgccl", "single_ct")})
    _check_single_models(images, splits, one)


def lesion_table(*patients: list[int]) -> pd.DataFrame:
    rows = [(f"P{number:02d}", label) for number, labels in enumerate(patients) for label in labels]
    return pd.DataFrame(rows, columns=["patient_id", "label"])


def test_a_patient_of_several_classes_counts_as_the_rarest() -> None:
    assert patient_classes(lesion_table([0, 1], [1], [0])).tolist() == [1, 1, 0]
    common_high = lesion_table([0, 2], [2], [2], [1, 2], [0], [1], [1])
    assert patient_classes(common_high).tolist() == [0, 2, 2, 1, 0, 1, 1]
    equal = lesion_table([0, 1], [2], [0], [1], [2])
    assert patient_classes(equal).tolist() == [1, 2, 0, 1, 2]


def test_folds_hold_every_class_though_patients_mix_them() -> None:
    rng = np.random.default_rng(0)
    patients = [sorted(set(rng.choice(3, size=rng.integers(1, 3), p=[0.7, 0.2, 0.1]))) for _ in range(120)]
    lesions = lesion_table(*[[int(label) for label in labels] for labels in patients])
    for split in split_folds(lesions, folds=4, validation_fraction=0.2, seed=1):
        assert all(set(lesions["label"].iloc[rows]) == {0, 1, 2} for _, rows in split.items())


def test_a_class_that_never_decides_is_too_small() -> None:
    lesions = lesion_table(*[[0, 1]] * 6, *[[1]] * 3, *[[2]] * 6)
    with pytest.raises(CohortError, match="Class 1 has 3 patients") as caught:
        split_folds(lesions, folds=2, validation_fraction=0.2, seed=0)
    assert caught.value.code == "class_too_small"


def test_classes_have_names() -> None:
    assert ModelConfig().class_names == ("benign", "malignant")
    assert ModelConfig(classes=3).class_names == ("class 0", "class 1", "class 2")
    for names in (("a", "b"), ("a", "b", "b"), ("a", "b", "")):
        with pytest.raises(ValueError, match="class_names"):
            ModelConfig(classes=3, class_names=names)


def test_a_wrong_number_of_names_is_told_with_its_file(tmp_path: Path) -> None:
    text = Path(__file__).parents[1].joinpath("configs/smoke.toml").read_text(encoding="utf-8")
    (tmp_path / "wrong.toml").write_text(
        text.replace("[model]\n", '[model]\nclass_names = ["a"]\n'), encoding="utf-8"
    )
    with pytest.raises(ConfigError, match=r"wrong\.toml.*each of the 2 classes a name of its own, found a"):
        load_config(tmp_path / "wrong.toml")
