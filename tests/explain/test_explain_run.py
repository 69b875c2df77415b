"""Explaining a trained run from the command line: cases, the cohort, and what is refused."""

import hashlib
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from dgccl import cli
from dgccl.cohort import Cohort, open_cohort
from dgccl.config import ExperimentConfig
from dgccl.errors import CohortError, TrainingError
from dgccl.explain.cohort_level import explain_cohort
from dgccl.explain.finished_run import FinishedRun, open_finished
from dgccl.explain.solid_fraction import solid_fraction
from dgccl.training import train

from ..tiny_cohort import LEVELS, WITHOUT_CT, WITHOUT_PET, tiny_config, write_tiny_cohort

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    folder = tmp_path_factory.mktemp("tiny") / "cohort"
    return write_tiny_cohort(folder, clinical=True)


@pytest.fixture(scope="module")
def config() -> ExperimentConfig:
    plain = tiny_config(epochs=1).model_dump(mode="json")
    plain["models"] = ("dgccl", "summed_logits")
    plain["modalities"]["clinical"] = {
        "quantity": "table", "numbers": ("cea_ng_ml",), "categories": {"smoking": LEVELS}, "token_width": 8,
    }  # fmt: skip
    return ExperimentConfig.model_validate(plain)


@pytest.fixture(scope="module")
def run_dir(cohort: Cohort, config: ExperimentConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(cohort, tmp_path_factory.mktemp("run") / "run", config, device="cpu")


@pytest.fixture
def run(run_dir: Path) -> FinishedRun:
    return open_finished(run_dir)


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["dgccl", "explain", *map(str, words)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        told = capsys.readouterr()
        return int(left.value.code or 0), told.out, told.err

    return run


@pytest.mark.parametrize("method", ["integrated_gradients", "occlusion"])
@pytest.mark.parametrize("model", ["dgccl", "summed_logits"])
def test_a_case(model: str, method: str, call: Call, run: FinishedRun, tmp_path: Path) -> None:
    status, out, err = call(
        run.run_dir, "L00", "--model", model, "--method", method, "--out", tmp_path, "--json"
    )
    assert status == 0, err
    facts = json.loads(out)
    assert facts.pop("folder") == str(tmp_path)
    assert facts == json.loads((tmp_path / "explanation.json").read_text())
    # By the network of the fold in which it was tested, and as that run scored it.
    assert "L00" in set(run.cohort.lesions["lesion_id"].iloc[run.rows(facts["fold"], "test")])
    predictions = pd.read_parquet(run.run_dir / "predictions.parquet").query(
        "lesion_id == 'L00' and split == 'test' and pattern == 'ct+pet+clinical' and model == @model"
    )
    assert facts["probability"] == pytest.approx(predictions["y_score"].item(), abs=2e-6)
    assert facts["fold"] == predictions["fold"].item()
    found = facts["modalities"]
    shares = [found[name]["shapley_log_odds"] for name in ("ct", "pet", "clinical")]
    assert sum(shares) == pytest.approx(facts["log_odds"] - facts["prior"]["log_odds"], abs=1e-9)
    assert facts["worth"]["none"] == facts["prior"]["log_odds"]
    assert facts["worth"]["ct+pet+clinical"] == facts["log_odds"]
    assert (found["ct"]["gate_weight"] is None) == (model == "summed_logits")
    assert set(found["clinical"]["saliency"]["column_log_odds"]) == {"cea_ng_ml", "smoking"}
    maps = load_file(tmp_path / "maps.safetensors")
    assert maps["ct/saliency"].shape == maps["ct/input"].shape == maps["ct/outline"].shape == (3, 32, 32)
    assert maps["clinical/saliency"].shape == (2,)
    svg = (tmp_path / "explanation.svg").read_text()
    assert svg.startswith("<svg")
    assert "phantom" in svg
    assert (tmp_path / "explanation.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("index", "lacks"), [(WITHOUT_PET[0], "pet"), (WITHOUT_CT[0], "ct")], ids=["no PET", "no CT"]
)
def test_a_modality_that_is_not_there(
    index: int, lacks: str, call: Call, run: FinishedRun, tmp_path: Path
) -> None:
    lesion = f"L{index:02d}"
    status, _, err = call(run.run_dir, lesion, "--baseline", "training_mean", "--out", tmp_path)
    assert status == 0, err
    facts = json.loads((tmp_path / "explanation.json").read_text())
    absent = facts["modalities"][lacks]
    assert absent == {
        "present": False, "gate_weight": None, "shapley_log_odds": None, "alone_log_odds": None, "saliency": None,
        "input": None,
    }  # fmt: skip
    assert not any(lacks in pattern.split("+") for pattern in facts["worth"])
    assert not any(name.startswith(f"{lacks}/") for name in load_file(tmp_path / "maps.safetensors"))


def test_the_default_folder(call: Call, run: FinishedRun) -> None:
    assert call(run.run_dir, "L02")[0] == 0
    folder = run.run_dir / "explanations" / "L02"
    assert {path.name for path in folder.iterdir()} == {
        "explanation.json", "explanation.svg", "explanation.png", "maps.safetensors",
    }  # fmt: skip


def test_the_cohort(call: Call, run: FinishedRun, tmp_path: Path) -> None:
    status, out, err = call(run.run_dir, "--cohort", "--out", tmp_path, "--json")
    assert status == 0, err
    summary = json.loads(out)
    table = pd.read_parquet(tmp_path / "explanations.parquet")
    assert len(table) == summary["n_lesions"] == 24
    assert set(table["lesion_id"]) == set(run.cohort.lesions["lesion_id"])
    assert len(pd.read_csv(tmp_path / "explanations.csv")) == 24
    columns = [
        f"{part}_{name}" for part in ("gate", "shapley", "alone") for name in ("ct", "pet", "clinical")
    ]
    assert set(columns) | {"lesion_id", "fold", "y_true", "logit", "solid_fraction"} <= set(table)
    shares = table[["shapley_ct", "shapley_pet", "shapley_clinical"]].sum(axis=1)
    np.testing.assert_allclose(shares, table["logit"] - table["prior_log_odds"], atol=1e-9)
    np.testing.assert_allclose(table[["gate_ct", "gate_pet", "gate_clinical"]].sum(axis=1), 1.0, atol=1e-6)
    predictions = pd.read_parquet(run.run_dir / "predictions.parquet").query(
        "model == 'dgccl' and split == 'test' and pattern == 'ct+pet+clinical'"
    )
    both = table.merge(predictions, on=["lesion_id", "fold"], validate="one_to_one")
    np.testing.assert_allclose(1 / (1 + np.exp(-both["logit"])), both["y_score"], atol=1e-5)
    assert summary["gate_meaning"]["n"] == summary["n_complete"]
    assert "300 HU" in summary["solid_fraction_from"]
    names = {path.name for path in tmp_path.iterdir()}
    assert {"cohort.json", "gate_meaning.svg", "gate_meaning.png", "groups.svg", "groups.png"} <= names
    # Another model into the same folder: no figure of the gate that it does not have is left behind.
    status, out, _ = call(run.run_dir, "--cohort", "--model", "summed_logits", "--out", tmp_path)
    assert status == 0
    assert "no gate" in out
    assert not (tmp_path / "gate_meaning.svg").exists()
    assert json.loads((tmp_path / "cohort.json").read_text())["gate_meaning"] is None


def test_what_is_refused(call: Call, run: FinishedRun, tmp_path: Path) -> None:
    def code_of(*words: object) -> str:
        status, out, _ = call(*words, "--json")
        assert status in (1, 2)
        return str(json.loads(out)["error"]["code"])

    where = run.run_dir
    assert code_of(where, "L99") == "unknown_lesion"
    assert code_of(where, "../L00") == "unknown_lesion"
    assert code_of(where, "L00", "--model", "resnet") == "weights_not_found"
    assert code_of(where, "--cohort", "--model", "resnet") == "weights_not_found"
    assert code_of(where, "L00", "--explained-class", "2") == "unknown_class"
    assert code_of(where, "L00", "--method", "occlusion", "--patch-mm", "0.5") == "patch_out_of_range"
    assert code_of(where, "L00", "--patch-mm", "0") == "patch_out_of_range"
    assert code_of(where) == "wrong_command_line"
    assert code_of(where, "L00", "--cohort") == "wrong_command_line"
    assert code_of(tmp_path, "L00") == "not_a_run"
    assert code_of(where, "L00", "--cohort-dir", tmp_path) == "not_a_cohort"
    assert code_of(where, "--cohort", "--truth", tmp_path / "truth.csv") == "truth_unreadable"
    assert not (where / "explanations" / "L99").exists()


def test_a_run_that_is_not_finished_and_a_cohort_that_is_another(
    run: FinishedRun, cohort: Cohort, tmp_path: Path
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run.run_dir, copy)
    facts = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps(facts | {"finished": None}))
    with pytest.raises(TrainingError, match="not finished") as caught:
        open_finished(copy)
    assert caught.value.code == "run_unfinished"
    (copy / "run.json").write_text(json.dumps(facts))
    (copy / "folds.csv").write_text("lesion_id,fold\nL00,0\n")
    with pytest.raises(TrainingError, match=r"folds\.csv .* lacks the columns split") as caught:
        open_finished(copy)
    assert caught.value.code == "run_file_damaged"
    other = write_tiny_cohort(tmp_path / "other", seed=5, clinical=True)
    with pytest.raises(TrainingError, match="not the cohort") as caught:
        open_finished(run.run_dir, cohort_dir=other.folder)
    assert caught.value.code == "cohort_changed"
    moved = tmp_path / "moved"
    shutil.copytree(cohort.folder, moved)
    assert open_finished(run.run_dir, cohort_dir=moved).cohort.folder == moved


def test_a_lesion_without_any_modality_is_refused(
    run: FinishedRun, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    lesions = run.cohort.lesions
    monkeypatch.setattr("dgccl.explain.finished_run.FinishedRun.images", _nothing_there)
    status, out, _ = call(run.run_dir, lesions["lesion_id"].iloc[0], "--json")
    assert (status, json.loads(out)["error"]["code"]) == (1, "nothing_to_show")


def _nothing_there(self: FinishedRun, predictor: object, rows: np.ndarray) -> object:
    """Lesions as the cohort would give them if all arrays were lacking."""
    from dgccl.cohort import LesionArrays

    lesions = self.cohort.lesions.iloc[rows].assign(cea_ng_ml="", smoking="")
    arrays = [LesionArrays(None, None, None, None) for _ in rows]
    return predictor.read(arrays, lesions)  # type: ignore[attr-defined]


def test_the_phantoms_truth_is_found_by_the_labels_beside_it(cohort: Cohort, tmp_path: Path) -> None:
    folder = tmp_path / "cohort"
    shutil.copytree(cohort.folder, folder)
    lesions = cohort.lesions.drop_duplicates("patient_id")
    dicom = tmp_path / "dicom"
    dicom.mkdir()
    truth = pd.DataFrame({"patient_id": lesions["patient_id"], "solid_fraction": 0.25})
    truth.to_csv(dicom / "truth.csv", index=False)
    (dicom / "labels.csv").write_text("patient_id,label\n")
    digest = hashlib.sha256((dicom / "labels.csv").read_bytes()).hexdigest()
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"labels_sha256": "of another file"}))
    assert solid_fraction(open_cohort(folder)).source == "ct_hu"
    (folder / "manifest.json").write_text(json.dumps(manifest | {"labels_sha256": digest}))
    with pytest.raises(CohortError, match="a patient has several rows or lesions") as caught:
        solid_fraction(open_cohort(folder))  # two lesions of one patient
    assert caught.value.code == "truth_mismatch"
    table = pd.read_csv(folder / "lesions.csv", dtype=str, keep_default_na=False)
    table.assign(patient_id=[f"Q{i}" for i in range(len(table))]).to_csv(folder / "lesions.csv", index=False)
    with pytest.raises(CohortError, match="does not know 24 of 24 lesions"):
        solid_fraction(open_cohort(folder))
    truth = pd.DataFrame(
        {"patient_id": [f"Q{i}" for i in range(24)][::-1], "solid_fraction": np.arange(24) / 24}
    )
    truth.to_csv(dicom / "truth.csv", index=False)
    found = solid_fraction(open_cohort(folder))
    assert found.source == "truth"
    np.testing.assert_allclose(found.values, np.arange(24)[::-1] / 24)
    assert solid_fraction(open_cohort(folder), truth_csv=dicom / "truth.csv").source == "truth"
    with pytest.raises(CohortError, match="lacks the columns patient_id"):
        solid_fraction(open_cohort(folder), truth_csv=folder / "qc.csv")


def test_solid_is_what_lies_above_minus_300_hu(cohort: Cohort) -> None:
    found = solid_fraction(cohort)
    for row, lesion in enumerate(cohort.lesions["lesion_id"]):
        arrays = cohort.arrays(lesion)
        expected = np.nan if arrays.ct_hu is None else (arrays.ct_hu[arrays.mask_ct] > -300).mean()
        np.testing.assert_equal(found.values[row], expected)
    assert found.truth is None


def test_folds_of_the_table_are_the_test_folds(run: FinishedRun) -> None:
    found = explain_cohort(run, model="dgccl", device="cpu").table
    assert (found["fold"] == [run.test_fold(lesion) for lesion in found["lesion_id"]]).all()
    for fold in (0, 1):
        trained = set(run.cohort.lesions["patient_id"].iloc[run.rows(fold, "train")])
        assert not trained & set(found.loc[found["fold"] == fold, "patient_id"])
