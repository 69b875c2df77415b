"""The real commands from nothing to a report, on a phantom and on real patients."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pydicom
import pytest

CONFIG = """
name = "tiny"
seed = 7
[modalities.ct]
quantity = "hu"
window = [-1000.0, 1000.0]
field_mm = 48.0
input_px = 32
encoder_width = 16
token_width = 16
[modalities.pet]
quantity = "suv"
window = [0.0, 10.0]
field_mm = 64.0
input_px = 32
encoder_width = 16
token_width = 16
[model]
embedding_width = 16
head_hidden = 16
[training]
folds = 2
epochs = 2
batch_size = 8
"""


def dgccl(*arguments: object, fails: bool = False) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "dgccl", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600, check=False)
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantom") / "dicom"
    dgccl("phantom", folder, "--patients", 16, "--seed", 8)
    return folder


def run_all(dicom: Path, labels: Path, work: Path, *ingest_options: object) -> Path:
    config, cohort, run = work / "tiny.toml", work / "cohort", work / "run"
    config.write_text(CONFIG, encoding="utf-8")
    dgccl("ingest", dicom, cohort, "--labels", labels, *ingest_options)
    dgccl("train", cohort, run, "--config", config)
    dgccl("evaluate", run)
    dgccl("report", run)
    return run


def test_phantom_to_report(phantom: Path, tmp_path: Path) -> None:
    run = run_all(phantom, phantom / "labels.csv", tmp_path)
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    page = (run / "report.html").read_text(encoding="utf-8")
    truth = pd.read_csv(phantom / "labels.csv")
    assert results["meta"]["data_kind"] == "phantom"
    assert results["meta"]["n_lesions"] == len(truth)
    assert set(results["models"]) == {"dgccl", "late_fusion"}
    assert "phantom" in page.lower()
    assert f"{results['models']['dgccl']['auroc']['estimate']:.3f}" in page
    table = pd.read_parquet(run / "predictions.parquet")
    test = table[(table["model"] == "dgccl") & (table["split"] == "test") & (table["pattern"] == "ct+pet")]
    assert sorted(test["patient_id"].unique()) == sorted(truth["patient_id"].unique())
    assert (test["gate_ct"] + test["gate_pet"]).to_numpy() == pytest.approx(1.0, abs=1e-5)
    again = dgccl("train", tmp_path / "cohort", run, "--config", tmp_path / "tiny.toml")
    assert "Trained" in again.stdout
    pd.testing.assert_frame_equal(table, pd.read_parquet(run / "predictions.parquet"))


def test_suv_of_what_the_scanner_wrote_agrees_with_the_cohort(phantom: Path, tmp_path: Path) -> None:
    dgccl("ingest", phantom, tmp_path / "cohort", "--labels", phantom / "labels.csv")
    lesions = pd.read_csv(tmp_path / "cohort" / "lesions.csv")
    for patient, rows in list(lesions.groupby("patient_id"))[:4]:
        (entry,) = json.loads(dgccl("suv", phantom / str(patient), "--json").stdout)
        assert entry["sul_factor"] / entry["suv_bw_factor"] == pytest.approx(
            rows["sul_per_suv_bw"].iloc[0], rel=1e-5
        )
        assert entry["suv_bw_max"] >= rows["suv_max"].max() - 1e-4


def test_the_formula_of_lean_body_mass_can_be_chosen(phantom: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("patient_id,label\nPHANTOM-0002,1\n", encoding="utf-8")
    ratios = {}
    for formula in ("janmahasatian", "james"):
        words = ["--lean-body-mass", formula]
        (entry,) = json.loads(dgccl("suv", phantom / "PHANTOM-0002", *words, "--json").stdout)
        dgccl("ingest", phantom / "PHANTOM-0002", tmp_path / formula, "--labels", labels, *words)
        row = pd.read_csv(tmp_path / formula / "lesions.csv").iloc[0]
        ratios[formula] = entry["sul_factor"] / entry["suv_bw_factor"]
        assert row["sul_per_suv_bw"] == pytest.approx(ratios[formula], rel=1e-5)
    assert abs(ratios["james"] / ratios["janmahasatian"] - 1) > 1e-3


def test_a_phantom_stays_a_phantom_wherever_its_files_lie(phantom: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("patient_id,outcome\nPHANTOM-0002,1\n", encoding="utf-8")
    dgccl("ingest", phantom / "PHANTOM-0002", tmp_path / "cohort", "--labels", labels)
    manifest = json.loads((tmp_path / "cohort" / "manifest.json").read_text(encoding="utf-8"))
    assert (manifest["data_kind"], manifest["outcome"]) == ("phantom", "outcome")


def test_what_is_refused_shows_in_the_exit_status(phantom: Path, tmp_path: Path) -> None:
    """One truncated slice costs its patient, not the rest, and is not overlooked."""
    names = ["PHANTOM-0001", "PHANTOM-0002"]
    for name in names:
        shutil.copytree(phantom / name, tmp_path / "dicom" / name)
    slices = sorted((tmp_path / "dicom" / names[0] / "CT").rglob("*.dcm"))
    slices[20].write_bytes(slices[20].read_bytes()[:-5000])
    labels = tmp_path / "labels.csv"
    labels.write_text("patient_id,label\nPHANTOM-0001,0\nPHANTOM-0002,1\n", encoding="utf-8")
    words = ["ingest", tmp_path / "dicom", tmp_path / "cohort", "--labels", labels]
    done = dgccl(*words, fails=True)
    assert done.returncode == 3
    assert "PHANTOM-0001" in done.stdout
    assert pd.read_csv(tmp_path / "cohort" / "lesions.csv")["patient_id"].tolist() == ["PHANTOM-0002"]
    told = json.loads(dgccl(*words, "--json", "--accept-refused").stdout)
    assert (told["lesions"], sum(told["refused"].values())) == (1, 1)


def test_a_slice_cut_in_its_header_leaves_a_mark_on_its_neighbors(phantom: Path, tmp_path: Path) -> None:
    """An end slice that cannot be read leaves no gap; only the mark tells that the stack may be short."""
    shutil.copytree(phantom / "PHANTOM-0002", tmp_path / "dicom")
    last = max(
        (tmp_path / "dicom" / "CT").rglob("*.dcm"), key=lambda path: pydicom.dcmread(path).SliceLocation
    )
    last.write_bytes(last.read_bytes()[:600])
    labels = tmp_path / "labels.csv"
    labels.write_text("patient_id,label\nPHANTOM-0002,1\n", encoding="utf-8")
    done = dgccl("ingest", tmp_path / "dicom", tmp_path / "cohort", "--labels", labels, fails=True)
    assert done.returncode == 3
    assert "file_rejected_nearby" in pd.read_csv(tmp_path / "cohort" / "lesions.csv")["qc"].iloc[0]


@pytest.mark.real
def test_real_patients_to_report(real_data: Path, tmp_path: Path) -> None:
    chosen = ["STS_002", "STS_003", "STS_004", "STS_005", "STS_014", "STS_018", "STS_023", "STS_031"]
    dicom = tmp_path / "dicom"
    dicom.mkdir()
    for name in chosen:
        (dicom / name).symlink_to(real_data / "sts" / name)
    outcomes = pd.read_csv(real_data / "sts" / "labels.csv")
    outcomes[outcomes["patient_id"].isin(chosen)].to_csv(tmp_path / "labels.csv", index=False)
    run = run_all(dicom, tmp_path / "labels.csv", tmp_path, "--box-mm", 128, "--ct-spacing-mm", 2)
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    assert results["meta"]["data_kind"] == "real"
    auroc = results["models"]["dgccl"]["auroc"]
    assert auroc["ci_high"] - auroc["ci_low"] > 0.3
    assert any("wide" in warning.lower() for warning in results["warnings"])


def test_every_verb_has_help_with_an_example() -> None:
    verbs = re.findall(r"^│ (\w+) ", dgccl("--help").stdout.split("Commands")[1], flags=re.MULTILINE)
    assert {"phantom", "ingest", "suv", "train", "evaluate", "report"} <= set(verbs)
    for verb in verbs:
        assert f"dgccl {verb}" in dgccl(verb, "--help").stdout


def test_help_does_not_load_torch() -> None:
    code = "import sys; sys.argv=['dgccl','--help']\nimport dgccl.cli\ntry: dgccl.cli.main()\nexcept SystemExit: pass\n"
    code += "assert not {'torch', 'pandas', 'pydicom', 'scipy'} & set(sys.modules), 'slow import'"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["ingest", "EMPTY", "OUT", "--labels", "LABELS"], "no_images"),
        (["ingest", "ABSENT", "OUT", "--labels", "LABELS"], "no_folder"),
        (["ingest", "TEXT", "OUT", "--labels", "LABELS"], "no_images"),
        (["ingest", "EMPTY", "OUT", "--labels", "ABSENT"], "table_not_found"),
        (["suv", "EMPTY"], "no_pet"),
        (["suv", "ABSENT"], "no_folder"),
        (["train", "EMPTY", "OUT", "--config", "configs/fast.toml"], "not_a_cohort"),
        (["train", "EMPTY", "OUT", "--config", "ABSENT"], "config_not_found"),
        (["evaluate", "EMPTY"], "run_file_missing"),
        (["report", "EMPTY"], "not_a_run"),
    ],
)
def test_bad_input_gives_one_clear_message(arguments: list[str], code: str, tmp_path: Path) -> None:
    (tmp_path / "EMPTY").mkdir()
    (tmp_path / "TEXT").mkdir()
    (tmp_path / "TEXT" / "image.dcm").write_text("this is no image")
    (tmp_path / "LABELS").write_text("patient_id,label\nA,0\nB,1\n")
    project = Path(__file__).resolve().parents[1]
    paths = {name: tmp_path / name for name in ("EMPTY", "TEXT", "ABSENT", "LABELS", "OUT")}
    words = [project / word if word.startswith("configs/") else paths.get(word, word) for word in arguments]
    done = dgccl(*words, fails=True)
    assert f"[{code}]" in done.stderr
    told = json.loads(dgccl(*words, "--json", fails=True).stdout)
    assert told["error"]["code"] == code
