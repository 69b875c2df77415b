"""Runs of every kind that the checklists must read: made by the report's fixtures, changed where a run differs."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from dgccl.cohort import Cohort
from dgccl.report.run_files import RunFiles, read_run
from dgccl.table_cohort import open_table_cohort

SETTINGS = {
    "box": {"box_mm": 64.0, "ct_spacing_mm": 1.0, "pet_spacing_mm": 4.0, "image_spacing_mm": 1.0},
    "roi_pattern": "^GTV",
    "allow_missing_modality": True,
    "register": "rigid",
}
IMAGE = {"view": "orthogonal", "field_mm": 36.0, "input_px": 48, "encoder": "cnn"}
MODEL = {
    "cross_attention": True, "attention_heads": 4, "gate": "dynamic", "embedding_width": 64, "contrastive_weight": 0.1,
}  # fmt: skip
TRAINING = {
    "fold_by": "patient", "validation_fraction": 0.25, "patience": 15, "learning_rate": 1e-5, "weight_decay": 0.01,
    "batch_size": 16, "weight_average": 0.99,
}  # fmt: skip
AUGMENTATION = {
    "rotation_deg": 15.0, "translation_fraction": 0.1, "scale": [0.9, 1.1], "modality_dropout": 0.3, "flip": True,
}  # fmt: skip


@dataclass(frozen=True)
class Pair:
    """A run and what it was trained on."""

    run: RunFiles
    cohort: Cohort


@dataclass(frozen=True, eq=False)
class JudgedRun(RunFiles):
    """A run with the content of its `acceptance.json`."""

    acceptance: dict[str, Any] | None = None


@pytest.fixture(scope="session")
def phantom(made: Any) -> Pair:
    """Two classes of a phantom, in a run that states as little as may be."""
    return Pair(read_run(made.folder), made.cohort)


@pytest.fixture(scope="session")
def several(make_run: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Three classes of real lesions, several models."""
    names = ("granuloma", "adenocarcinoma", "carcinoid")
    folder = tmp_path_factory.mktemp("several")
    found = make_run(
        folder, lesions=90, models=("dgccl", "late_fusion", "single_ct"), class_names=names, data_kind="real"
    )
    return Pair(read_run(found.folder), found.cohort)


@pytest.fixture(scope="session")
def whole(make_run: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """A real run that states everything, as training and ingestion write it."""
    found = make_run(tmp_path_factory.mktemp("whole"), data_kind="real")
    run, cohort = read_run(found.folder), found.cohort
    config = run.config
    modalities = {name: values | IMAGE for name, values in config["modalities"].items()}
    full = config | {
        "modalities": modalities, "augmentation": AUGMENTATION, "prediction": {"poses": 4},
        "model": config["model"] | MODEL, "training": config["training"] | TRAINING,
    }  # fmt: skip
    start = {"encoders_sha256": "a1" * 32, "data_kind": "real"}
    about = run.run | {"start": start, "quantities": {"ct": "hu", "pet": "sul"}, "config_sha256": "c2" * 32}
    registrations = {"P000": {"reason": "registered"}, "P001": {"reason": "starts_disagree"}, "P002": None}
    manifest = cohort.manifest | {
        "created": "2026-11-26T07:39:07+00:00", "settings": SETTINGS, "registrations": registrations,
    }  # fmt: skip
    stress = {
        "models": {
            "dgccl": [{"dial": "ct_noise"}, {"dial": "suv_error"}],
            "late_fusion": [{"dial": "ct_noise"}],
        }
    }
    return Pair(replace(run, config=full, run=about, stress=stress), replace(cohort, manifest=manifest))


@pytest.fixture(scope="session")
def tables(whole: Pair, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Values without images: the lesions of `whole` as rows of a CSV file."""
    path = tmp_path_factory.mktemp("tables") / "values.csv"
    columns = ["lesion_id", "patient_id", "label", "suv_max", "volume_ml"]
    whole.cohort.lesions[columns].assign(cea="1.5").to_csv(path, index=False)
    branches = {
        "ct": {"quantity": "table", "numbers": ["volume_ml"], "categories": {"cea": ["1.5", "2.5"]}},
        "pet": {"quantity": "table", "numbers": ["suv_max"], "categories": {}},
    }
    config = whole.run.config | {"modalities": branches}
    run = replace(
        whole.run, config=config, run=whole.run.run | {"quantities": {}, "start": None}, stress=None
    )
    return Pair(run, open_table_cohort(path, data_kind="real"))


@pytest.fixture(scope="session")
def judged(whole: Pair) -> Pair:
    """`whole` with folds of sites, groups looked at and gates that it was held against."""
    run = whole.run
    groups = [
        {"column": column, "name": name, "auroc": {"estimate": value}}
        for column, name, value in (
            ("sex", "F", 0.81), ("sex", "M", None), ("site", "Site A", 0.7), ("site", "Site B", 0.75),
            ("scanner", "Maker 1", 0.8), ("manufacturer", "Maker", 0.8),
        )
    ]  # fmt: skip
    gates = [
        {"rule": "subgroup_floor", "passed": False},
        {"rule": "subgroup_floor", "passed": True},
        {"rule": "auroc_floor", "passed": True},
    ]
    config = run.config | {"training": run.config["training"] | {"fold_by": "site"}}
    results = run.results | {"subgroups": {"groups": groups}}
    values = {name: getattr(run, name) for name in run.__dataclass_fields__ if name != "acceptance"}
    values |= {"results": results, "config": config}
    return Pair(JudgedRun(**values, acceptance={"gates": gates}), whole.cohort)


@pytest.fixture(params=["phantom", "several", "whole", "tables", "judged"])
def pair(request: pytest.FixtureRequest) -> Pair:
    """Each of these runs in turn."""
    found: Pair = request.getfixturevalue(request.param)
    return found
