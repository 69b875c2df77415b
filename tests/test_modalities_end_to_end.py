"""The real commands on other data than CT and PET: two tables alone, and images with clinical values and MR."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dgccl.config import load_config
from dgccl.errors import CohortError
from dgccl.training import train

from .test_end_to_end import CONFIG, dgccl
from .tiny_cohort import LEVELS, write_tiny_cohort

TABLES = Path(__file__).resolve().parents[1] / "configs" / "tables.toml"
SHORT = "\n[training]\nfolds = 2\nepochs = 2\nbatch_size = 8\n"


def write_features(path: Path, *, lesions: int = 24) -> None:
    """A table with the columns of configs/tables.toml; a few entries, and a few modalities, are missing."""
    rng = np.random.default_rng(5)
    radiomics, clinical = load_config(TABLES).tables.values()
    label = np.arange(lesions) // 2 % 2
    columns: dict[str, list[object]] = {
        "patient_id": [f"P{index:02d}" for index in range(lesions)],
        "label": label.tolist(),
        "site": ["AB"[index % 2] for index in range(lesions)],
    }
    for name in (*radiomics.numbers, *clinical.numbers):
        values = rng.normal(60.0 + 10.0 * label, 10.0).round(2).astype(object)
        values[rng.random(lesions) < 0.1] = ""
        columns[name] = values.tolist()
    for name, levels in clinical.categories.items():
        columns[name] = rng.choice([*levels, "NA"], lesions).tolist()
    table = pd.DataFrame(columns)
    table.loc[[3, 10], list(clinical.columns)] = ""
    table.loc[[6], list(radiomics.columns)] = ""
    table.to_csv(path, index=False)


def finish(run: Path) -> tuple[dict, str]:
    dgccl("evaluate", run)
    dgccl("report", run)
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    return results, (run / "report.html").read_text(encoding="utf-8")


def test_two_tables_alone_from_a_csv_to_a_report(tmp_path: Path) -> None:
    features, run, config = tmp_path / "features.csv", tmp_path / "run", tmp_path / "tables.toml"
    write_features(features)
    config.write_text(TABLES.read_text(encoding="utf-8").split("[training]")[0] + SHORT, encoding="utf-8")
    words = ["train", features, run, "--config", config]
    assert "[data_kind_missing]" in dgccl(*words, fails=True).stderr
    assert not run.exists()
    dgccl(*words, "--data-kind", "real")
    results, page = finish(run)
    assert results["meta"]["data_kind"] == "real"
    assert results["meta"]["modalities"] == ["radiomics", "clinical"]
    assert results["meta"]["n_lesions"] == 24
    assert set(results["models"]["dgccl"]["patterns"]) == {"radiomics", "clinical"}
    table = pd.read_parquet(run / "predictions.parquet")
    whole = table[(table["model"] == "dgccl") & (table["split"] == "test")]
    whole = whole[whole["pattern"] == "radiomics+clinical"].set_index("lesion_id")
    assert whole.loc[["P03", "P10"], "modalities_shown"].unique().tolist() == ["radiomics"]
    assert whole.loc["P06", "modalities_shown"] == "clinical"
    assert "REAL DATA" in page
    assert "PET not available" not in page
    assert "nothing was ingested" in page
    dgccl(*words, "--data-kind", "real")
    assert "[run_dir_mismatch]" in dgccl(*words, "--data-kind", "phantom", fails=True).stderr
    moved = features.rename(tmp_path / "moved.csv")
    dgccl("report", run, "--cohort", moved)


CLINICAL = f"""
[modalities.clinical]
quantity = "table"
numbers = ["cea_ng_ml"]
categories = {{ smoking = {json.dumps(LEVELS)} }}
"""
MR = """
[modalities.mr]
quantity = "intensity"
window = [-2.0, 4.0]
field_mm = 48.0
input_px = 16
encoder_width = 16
token_width = 16
view = "volume"
"""


@pytest.mark.parametrize(
    ("third", "text"), [("clinical", CLINICAL), ("mr", MR)], ids=["ct+pet+clinical", "ct+pet+mr"]
)
def test_a_third_modality_from_a_cohort_to_a_report(third: str, text: str, tmp_path: Path) -> None:
    cohort, run, config = tmp_path / "cohort", tmp_path / "run", tmp_path / "three.toml"
    write_tiny_cohort(cohort, mr_px=12 if third == "mr" else 0, clinical=third == "clinical")
    config.write_text(CONFIG.replace("[model]", f"{text}[model]"), encoding="utf-8")
    dgccl("train", cohort, run, "--config", config)
    assert (
        "[data_kind_stated_twice]"
        in dgccl("train", cohort, run, "--config", config, "--data-kind", "phantom", fails=True).stderr
    )
    results, page = finish(run)
    assert results["meta"]["modalities"] == ["ct", "pet", third]
    assert len(results["models"]["dgccl"]["patterns"]) == 6
    table = pd.read_parquet(run / "predictions.parquet")
    gates = table.loc[table["model"] == "dgccl", ["gate_ct", "gate_pet", f"gate_{third}"]]
    np.testing.assert_allclose(gates.sum(axis=1), 1.0, atol=1e-5)
    assert third.upper() in page
    assert (f"Axial {third.upper()}" in page) == (third == "mr")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (CLINICAL.replace("cea_ng_ml", "nse"), "column_absent"),
        (CLINICAL.replace('"never", ', ""), "unknown_level"),
        (CLINICAL.replace("cea_ng_ml", "site"), "not_a_number"),
        (CLINICAL.replace("cea_ng_ml", "label"), "column_not_an_input"),
        (MR, "modality_absent"),
    ],
)
def test_what_a_cohort_lacks_is_told(text: str, code: str, tmp_path: Path) -> None:
    cohort = write_tiny_cohort(tmp_path / "cohort", clinical=True)
    (tmp_path / "three.toml").write_text(CONFIG.replace("[model]", f"{text}[model]"), encoding="utf-8")
    with pytest.raises(CohortError) as caught:
        train(cohort, tmp_path / "run", load_config(tmp_path / "three.toml"), device="cpu")
    assert caught.value.code == code
    assert not (tmp_path / "run").exists()  # told before a run is begun
