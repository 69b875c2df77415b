"""The gates of the phantom pass on its recommended run, shortened, and fail where the same run was made to leak."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save

from dgccl.cohort import LESION_COLUMNS, QC_COLUMNS
from dgccl.lesion import LesionArrays
from dgccl.phantom.acquisition import scanner_of
from dgccl.phantom.law import LesionLaw
from dgccl.phantom.memory import draw_lesions, lesion_table
from dgccl.phantom.patient import sample_cohort

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
GATES = CONFIGS / "gates" / "phantom.toml"
PATIENTS, SEED = 120, 7
SHORTER = {"models": '["gated_residual", "late_fusion"]', "epochs": "16", "batch_size": "8\nfolds = 3"}
KINDS = {kind.name: replace(kind, share=1.0) for kind in LesionLaw().kinds}
EASY = LesionLaw(kinds=(KINDS["quiescent_nodule"], replace(KINDS["avid_cancer"], uptake_median_suv=3.0)))
"""One kind a class, which a short training on few lesions tells apart whatever the last bit of the arithmetic; with the
usual law its outcome changes by more than the gates allow for."""

pytestmark = pytest.mark.slow


def dgccl(*arguments: object, status: int) -> str:
    command = [sys.executable, "-W", "error", "-m", "dgccl", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=1800, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


def pack(arrays: LesionArrays) -> bytes:
    tensors = {
        "ct_hu": arrays.ct_hu,
        "mask_ct": arrays.mask_ct,
        "suv_bw": arrays.suv_bw,
        "mask_pet": arrays.mask_pet,
    }
    whole = {name: np.ascontiguousarray(value) for name, value in tensors.items() if value is not None}
    return save(
        {name: value.astype(np.uint8) if value.dtype == bool else value for name, value in whole.items()}
    )


def write_table(folder: Path, table: pd.DataFrame) -> None:
    table.reindex(columns=list(LESION_COLUMNS)).to_csv(folder / "lesions.csv", index=False)
    pd.DataFrame(columns=list(QC_COLUMNS)).to_csv(folder / "qc.csv", index=False)
    (folder / "manifest.json").write_text(json.dumps({"data_kind": "phantom"}), encoding="utf-8")


def write_phantom(folder: Path) -> pd.DataFrame:
    """A phantom cohort as ingestion would leave it, without its DICOM."""
    patients = sample_cohort(PATIENTS, SEED, law=EASY)
    scanners = [scanner_of(site) for site in patients["site"]]
    table = lesion_table(patients).assign(
        manufacturer=[scanner.vendor for scanner in scanners],
        scanner=[f"{scanner.vendor} phantom" for scanner in scanners],
        ct_slice_spacing_mm=[scanner.ct_spacing_mm[0] for scanner in scanners],
        ct_pixel_spacing_mm=[scanner.ct_spacing_mm[1] for scanner in scanners],
        pet_slice_spacing_mm=[scanner.pet_spacing_mm[0] for scanner in scanners],
        pet_pixel_spacing_mm=[scanner.pet_spacing_mm[1] for scanner in scanners],
        uptake_time_min=patients["uptake_time_min"],
        diameter_mm=patients["diameter_mm"],
    )
    (folder / "arrays").mkdir(parents=True)
    hashes = []
    for lesion_id, arrays in zip(
        table["lesion_id"], draw_lesions(patients, SEED, range(PATIENTS)), strict=True
    ):
        content = pack(arrays)
        (folder / "arrays" / f"{lesion_id}.safetensors").write_bytes(content)
        hashes.append(hashlib.sha256(content).hexdigest())
    table = table.assign(array_sha256=hashes)
    write_table(folder, table)
    return table


def shortened(path: Path, changes: Mapping[str, str]) -> Path:
    """The recommended experiment with other values of some keys."""
    text = (CONFIGS / "recommended.toml").read_text(encoding="utf-8")
    for key, value in changes.items():
        text, found = re.subn(rf"^{key} = .*$", f"{key} = {value}", text, count=1, flags=re.MULTILINE)
        assert found, key
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a cohort and a run."""
    folder = tmp_path_factory.mktemp("accept")
    write_phantom(folder / "cohort")
    config = shortened(folder / "short.toml", SHORTER)
    dgccl("train", folder / "cohort", folder / "run", "--config", config, status=0)
    return folder


def verdict(run: Path, *, status: int) -> dict[str, Any]:
    return json.loads(dgccl("accept", run, "--gates", GATES, "--json", status=status))


def test_the_recommended_run_passes(work: Path) -> None:
    told = verdict(work / "run", status=0)
    assert (told["verdict"], told["model"]) == ("pass", "gated_residual")
    assert told["notice"].startswith("PHANTOM")
    assert all(gate["assessed"] for gate in told["gates"])
    assert "PHANTOM" in dgccl("accept", work / "run", "--gates", GATES, status=0)


def test_a_patient_on_both_sides_fails(work: Path) -> None:
    run = work / "both_sides"
    shutil.copytree(work / "run", run)
    folds = pd.read_csv(run / "folds.csv")
    tested = folds.loc[(folds["fold"] == 0) & (folds["split"] == "test")].head(3)
    pd.concat([folds, tested.assign(split="train")]).to_csv(run / "folds.csv", index=False)
    told = verdict(run, status=4)
    (splits,) = (gate for gate in told["gates"] if gate["rule"] == "no_patient_in_two_splits")
    assert (splits["passed"], splits["assessed"], splits["figure"]) == (False, True, 3)


def test_a_cohort_with_copies_and_telling_scanners_fails(work: Path) -> None:
    """Patients that are there under two ids, and a scanner for each class: the run itself sees nothing wrong."""
    folder = work / "leaking"
    shutil.copytree(work / "cohort", folder)
    table = pd.read_csv(folder / "lesions.csv")
    copies = table.head(30).assign(patient_id=lambda rows: "COPY-" + rows["patient_id"])
    copies["lesion_id"] = copies["patient_id"] + "-lesion"
    for original, copy in zip(table["lesion_id"].head(30), copies["lesion_id"], strict=True):
        arrays = folder / "arrays"
        shutil.copyfile(arrays / f"{original}.safetensors", arrays / f"{copy}.safetensors")
    leaking = pd.concat([table, copies])
    write_table(folder, leaking.assign(scanner=leaking["label"].map({0: "old", 1: "new"})))
    config = shortened(work / "shorter.toml", SHORTER | {"epochs": "2"})
    dgccl("train", folder, work / "leaked", "--config", config, status=0)
    told = verdict(work / "leaked", status=4)
    gates = {gate["title"]: gate for gate in told["gates"]}
    assert gates["no_patient_in_two_splits"]["passed"]  # ids alone do not tell
    assert gates["no_duplicate_images"]["figure"] == 60
    assert {"no_duplicate_images", "label_not_implied"} <= set(told["failed"])
    assert "scanner: implies the class exactly" in gates["label_not_implied"]["reason"]
