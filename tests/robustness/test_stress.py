"""The whole verb on a small trained run: what it writes, and what it refuses."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from dgccl.cli import app
from dgccl.errors import ConfigError, TrainingError
from dgccl.evaluation import evaluate
from dgccl.robustness import read_stress
from dgccl.robustness.stress import stress
from dgccl.robustness.turning import StressSettings
from dgccl.training import train

from ..tiny_cohort import tiny_config, write_tiny_cohort

FEW = StressSettings(replicates=100, device="cpu")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stress")
    cohort = write_tiny_cohort(folder / "cohort", lesions=32)
    train(cohort, folder / "run", tiny_config(), device="cpu")
    evaluate(folder / "run")
    return folder / "run"


@pytest.fixture(scope="module")
def found(run: Path):  # type: ignore[no-untyped-def]
    return stress(run, models=["dgccl", "late_fusion"], settings=FEW, command="dgccl stress run")


def test_nothing_changed_gives_the_figures_of_evaluation(run: Path, found) -> None:  # type: ignore[no-untyped-def]
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))["models"]
    for name, dials in found.models.items():
        assert len(dials) == 12
        for dial in dials:
            [base] = [step for step in dial.steps if step.amount == 0]
            assert base.auroc.estimate == pytest.approx(results[name]["auroc"]["estimate"], abs=1e-9)
            assert base.auroc.ci_low == pytest.approx(results[name]["auroc"]["ci_low"], abs=1e-9)
            assert base.change.estimate == 0.0
            slope = results[name]["calibration"]["ct+pet"]["after"]["slope"]["estimate"]
            assert base.slope.estimate == pytest.approx(slope, abs=1e-6)


def test_all_withheld_is_the_pattern_without_it(run: Path, found) -> None:  # type: ignore[no-untyped-def]
    table = pd.read_parquet(run / "predictions.parquet")
    dial = next(dial for dial in found.models["dgccl"] if dial.dial == "missing_pet")
    rows = table.loc[(table["model"] == "dgccl") & (table["split"] == "test")]
    both = rows.loc[(rows["pattern"] == "ct+pet") & (rows["modalities_shown"] == "ct+pet")]
    assert dial.steps[-1].amount == 100.0
    assert dial.steps[-1].calls_changed is not None
    # With every PET withheld, the gate sees CT alone wherever there is CT.
    assert dial.steps[-1].gate_weights["ct"] == 1.0
    assert len(both) < len(rows.loc[rows["pattern"] == "ct+pet"])  # some lesions lack one anyway


def test_files_and_their_hash(run: Path, found) -> None:  # type: ignore[no-untyped-def]
    content = read_stress(run)
    assert content is not None
    assert content["meta"]["command"] == "dgccl stress run"
    assert content["meta"]["data_kind"] == "phantom"
    assert "digital phantom" in content["warnings"][0]
    table = pd.read_csv(run / "stress.csv")
    assert len(table) == sum(len(dial.steps) for dials in found.models.values() for dial in dials)
    row = table.loc[
        (table["model"] == "dgccl") & (table["dial"] == "suv_error") & (table["amount"] == 30)
    ].iloc[0]
    [step] = [s for d in found.models["dgccl"] if d.dial == "suv_error" for s in d.steps if s.amount == 30]
    np.testing.assert_allclose(row["auroc"], step.auroc.estimate)


def test_the_same_seed_gives_the_same_figures_and_another_does_not(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    first = stress(copy, dials=["ct_noise"], settings=FEW).models
    assert stress(copy, dials=["ct_noise"], settings=FEW).models == first
    other = StressSettings(replicates=100, device="cpu", seed=1)
    assert stress(copy, dials=["ct_noise"], settings=other).models != first


def test_what_is_refused(run: Path, found, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError, match="no dial gamma"):
        stress(run, dials=["gamma"], settings=FEW)
    with pytest.raises(TrainingError, match="no test predictions of 'nobody'"):
        stress(run, models=["nobody"], settings=FEW)
    with pytest.raises(ConfigError, match="loss must lie between"):
        stress(run, settings=StressSettings(loss=0.7))
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    table = pd.read_parquet(copy / "predictions.parquet")
    table["y_score"] = 1.0 - table["y_score"]
    table.to_parquet(copy / "predictions.parquet")
    with pytest.raises(TrainingError, match="other predictions"):
        read_stress(copy)
    with pytest.raises(TrainingError, match="differs by"):
        stress(copy, dials=["suv_error"], settings=FEW)


def test_the_verb(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    called = ["stress", str(copy), "--dial", "suv_error", "--dial", "missing_pet", "--replicates", "100"]
    shown = CliRunner().invoke(app, called)
    assert shown.exit_code == 0, shown.output
    assert "PHANTOM data, dgccl" in shown.output
    assert "SUV error" in shown.output
    printed = CliRunner().invoke(app, [*called, "--json"])
    assert [dial["dial"] for dial in json.loads(printed.stdout)["models"]["dgccl"]] == [
        "suv_error",
        "missing_pet",
    ]
