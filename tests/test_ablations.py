"""Ablations of a run: what a configuration may ask, and one trained, scored and reported."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from dgccl import training
from dgccl.cohort import Cohort
from dgccl.config import ExperimentConfig, load_config
from dgccl.evaluation import evaluate, load_results
from dgccl.evaluation.areas import compare_pairs
from dgccl.evaluation.run_tables import read_tables
from dgccl.model import build_model
from dgccl.predict import Predictor
from dgccl.report.ablation_section import ablation_section
from dgccl.report.run_files import read_run
from dgccl.report.style import model_lines
from dgccl.run_dir import config_sha256, weights_path

from .tiny_cohort import tiny_config, write_tiny_cohort

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
EQUAL = {"label": "equal weights", "model": "dgccl", "settings": {"model": {"gate": "equal"}}}


def with_ablations(**ablations: dict) -> ExperimentConfig:
    return ExperimentConfig.model_validate(tiny_config().model_dump(mode="json") | {"ablations": ablations})


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return write_tiny_cohort(tmp_path_factory.mktemp("tiny") / "cohort")


@pytest.fixture(scope="module")
def run_dir(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "run"
    return training.train(cohort, folder, with_ablations(equal=EQUAL), device="cpu")


@pytest.mark.parametrize(
    ("name", "changes", "told"),
    [
        ("equal", {"model": "magic"}, "one of `models`"),
        ("equal", {"settings": {"model": {"gait": "equal"}}}, "gait"),
        ("equal", {"settings": {"prediction": {"poses": 4}}}, "cannot differ between models"),
        ("equal", {"settings": {"model": {"classes": 3}}}, "must be the same for every model"),
        ("equal", {"settings": {"training": {"folds": 3}}}, "must be the same for every model"),
        ("equal", {"settings": {"model": {"gate": "dynamic"}}}, "changes nothing"),
        ("late_fusion", {}, "has the name of a model"),
        ("single_ct", {}, "has the name of a model"),
        ("brock", {}, "has the name of a model"),
        ("No/Name", {}, "pattern"),
    ],
)
def test_wrong_ablations_are_named(name: str, changes: dict, told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        with_ablations(**{name: EQUAL | changes})


def test_without_ablations_the_identity_of_a_run_is_as_before() -> None:
    # Computed by version 0.1 before there were ablations.
    smoke = load_config(CONFIGS / "smoke.toml")
    assert config_sha256(smoke) == "1b606ae36bae58489cf0e186729254943a0b55e5b7e4ce2a707100f8b7db3568"
    assert config_sha256(with_ablations(equal=EQUAL)) != config_sha256(tiny_config())
    config = with_ablations(equal=EQUAL)
    assert ExperimentConfig.model_validate_json(config.model_dump_json()) == config


def test_the_preset_builds_its_ablations() -> None:
    config = load_config(CONFIGS / "ablation.toml")
    assert len(config.ablations) >= 4
    for name in config.trained:
        own, built = config.variant(name)
        assert build_model(own, built) is not None
        assert (own == config.variant("gated_residual")[0]) == (name == "gated_residual")


def test_an_ablation_is_trained_scored_and_kept_apart(run_dir: Path) -> None:
    table = pd.read_parquet(run_dir / "predictions.parquet")
    assert set(table["model"]) == {"dgccl", "late_fusion", "equal"}
    full, ablated = (load_file(weights_path(run_dir, name, 0)) for name in ("dgccl", "equal"))
    assert set(full) != set(ablated) or any(not torch.equal(full[key], ablated[key]) for key in full)
    assert Predictor.load(run_dir, model="equal", device="cpu").config.model.gate == "equal"
    assert Predictor.load(run_dir, model="dgccl", device="cpu").config.model.gate == "dynamic"
    gates = table.loc[(table["model"] == "equal") & (table["modalities_shown"] == "ct+pet"), "gate_ct"]
    assert np.allclose(gates, 0.5)

    results = evaluate(run_dir)
    assert list(results.models) == ["dgccl", "late_fusion"]
    assert [(test.a, test.b) for test in results.delong] == [("dgccl", "late_fusion")]
    (entry,) = results.ablations
    assert (entry.name, entry.model, entry.settings) == ("equal", "dgccl", {"model": {"gate": "equal"}})
    assert entry.full_auroc == results.models["dgccl"].auroc
    assert entry.comparison == compare_pairs(read_tables(run_dir), [("dgccl", "equal")], [])[0]
    assert entry.comparison.p_holm == entry.comparison.p  # a family of one
    assert load_results(run_dir) == results

    run = read_run(run_dir)
    assert run.models == ["dgccl", "late_fusion"]
    section = ablation_section(run, model_lines(run.models))
    (made,) = section.tables
    assert "equal weights" in made.rows[0][0]
    assert "phantom" in made.note
    assert [sketch.name for sketch in section.sketches] == ["ablations"]


def test_the_full_model_is_trained_as_if_there_were_no_ablation(
    cohort: Cohort, run_dir: Path, tmp_path: Path
) -> None:
    alone = training.train(cohort, tmp_path / "alone", tiny_config(), device="cpu")
    tables = [pd.read_parquet(folder / "predictions.parquet") for folder in (run_dir, alone)]
    pd.testing.assert_frame_equal(*(table.query("model == 'dgccl'") for table in tables))
    evaluate(alone)
    run = read_run(alone)
    section = ablation_section(run, model_lines(run.models))
    assert not section.tables
    assert "no ablations" in section.notes[0]


def test_a_killed_run_goes_on_with_its_ablation(
    cohort: Cohort, run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, save, saved = with_ablations(equal=EQUAL), training.save_fold, []

    def dies(folder: Path, result: object, *, model: str, fold: int) -> None:
        if (model, fold) == ("equal", 1):
            raise KeyboardInterrupt
        save(folder, result, model=model, fold=fold)
        saved.append((model, fold))

    monkeypatch.setattr(training, "save_fold", dies)
    with pytest.raises(KeyboardInterrupt):
        training.train(cohort, tmp_path / "run", config, device="cpu")
    assert ("equal", 0) in saved
    monkeypatch.setattr(training, "save_fold", save)
    again = training.train(cohort, tmp_path / "run", config, device="cpu")
    tables = [pd.read_parquet(folder / "predictions.parquet") for folder in (run_dir, again)]
    pd.testing.assert_frame_equal(*tables)
