"""Files of gates: the presets are sound, and every wrong one is named with what is wrong."""

import hashlib
from pathlib import Path

import pytest

from dgccl.acceptance import load_gates
from dgccl.errors import ConfigError

GATES = Path(__file__).resolve().parents[2] / "configs" / "gates"
PRESETS = sorted(GATES.glob("*.toml"))
RULES = {
    "auroc_floor", "missing_modality_drop", "non_inferiority", "calibration_slope", "subgroup_floor",
    "leave_one_site_out", "no_patient_in_two_splits", "no_duplicate_images", "label_not_implied",
}  # fmt: skip


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_presets_are_sound(path: Path) -> None:
    file = load_gates(path)
    assert file.gates.name == path.stem
    assert file.content == path.read_text(encoding="utf-8")
    assert file.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_clinical_gates_are_all_of_them_and_hold_the_regulatory_bar() -> None:
    gates = load_gates(GATES / "clinical.toml").gates.gates
    assert {gate.rule for gate in gates} == RULES
    (drop,) = (gate for gate in gates if gate.rule == "missing_modality_drop")
    assert (drop.max_drop, drop.missing) == (0.05, "all")
    groups = {gate.by for gate in gates if gate.rule == "subgroup_floor"}
    assert groups >= {"sex", "site", "scanner", "age_years", "diameter_mm"}


def load(tmp_path: Path, text: str):
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return load_gates(path)


def test_defaults_are_filled_in(tmp_path: Path) -> None:
    text = 'name = "mine"\nmodel = "dgccl"\n[[gates]]\nrule = "subgroup_floor"\nby = "sex"\nfloor = 0.6\n'
    gates = load(tmp_path, text).gates
    (gate,) = gates.gates
    assert gates.model == "dgccl"
    assert gate.model_dump()["min_lesions"] == 30


@pytest.mark.parametrize(
    ("gate", "named"),
    [
        ('rule = "auroc_flor"\nfloor = 0.7', "gate 2: .*auroc_flor.*auroc_floor"),
        ("floor = 0.7", "gate 2: .*rule"),
        ('rule = "auroc_floor"\nflor = 0.7', "gate 2, auroc_floor, flor: Extra inputs"),
        ('rule = "auroc_floor"', "gate 2, auroc_floor, floor: Field required"),
        ('rule = "auroc_floor"\nfloor = 1.2', "floor"),
        ('rule = "auroc_floor"\nfloor = nan', "floor"),
        ('rule = "missing_modality_drop"\nmax_drop = inf', "max_drop"),
        ('rule = "missing_modality_drop"\nmax_drop = -0.1', "max_drop"),
        ('rule = "missing_modality_drop"\nmissing = []', "missing"),
        ('rule = "non_inferiority"\ncomparator = "old"\nmargin = 0.0', "margin"),
        ('rule = "calibration_slope"\nlow = 1.1\nhigh = 1.5', "either side of 1"),
        ('rule = "calibration_slope"\nlow = nan\nhigh = 1.5', "low"),
        ('rule = "subgroup_floor"\nby = "suv_max"\nfloor = 0.6', "by"),
        ('rule = "subgroup_floor"\nby = "age_years"\nfloor = 0.6', "edges are needed"),
        ('rule = "subgroup_floor"\nby = "sex"\nedges = [1.0]\nfloor = 0.6', "edges have no meaning"),
        ('rule = "subgroup_floor"\nby = "age_years"\nedges = [60, 50]\nfloor = 0.6', "edges must rise"),
        ('rule = "subgroup_floor"\nby = "sex"\nmin_lesions = 0\nfloor = 0.6', "min_lesions"),
        ('rule = "subgroup_floor"\nby = "sex"\nmax_ungated_share = 2\nfloor = 0.6', "max_ungated_share"),
        ('rule = "no_duplicate_images"\nsimilarity = 0.2', "similarity"),
        ('rule = "label_not_implied"\nmax_auroc = 0.6\ncolumns = ["suv_max"]', "columns"),
        ('rule = "label_not_implied"\nmax_auroc = 0.6\ncolumns = ["site", "site"]', "a column twice"),
        ('rule = "label_not_implied"\nmax_auroc = 0.6\ncolumns = []', "columns"),
        ('rule = "label_not_implied"\nmax_auroc = 0.4', "max_auroc"),
        ('rule = "label_not_implied"\nmax_auroc = 0.7\nmax_upper = 0.6', "max_upper"),
    ],
)
def test_a_wrong_gate_is_named(tmp_path: Path, gate: str, named: str) -> None:
    text = f'name = "mine"\n[[gates]]\nrule = "no_duplicate_images"\n[[gates]]\n{gate}\n'
    with pytest.raises(ConfigError, match=named) as caught:
        load(tmp_path, text)
    assert caught.value.code == "gates_invalid"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('name = "mine"\ngates = []', "gates_invalid"),
        ('name = "mine"', "gates_invalid"),
        ('name = "mine"\nfloor = 0.7\n[[gates]]\nrule = "no_duplicate_images"', "gates_invalid"),
        ('[[gates]]\nrule = "no_duplicate_images"', "gates_invalid"),
        ("name: mine", "gates_not_toml"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, text: str, code: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert caught.value.code == code


@pytest.mark.parametrize("name", ["absent.toml", ".", "file.toml/below.toml"])
def test_a_file_must_be_there(tmp_path: Path, name: str) -> None:
    (tmp_path / "file.toml").write_text("")
    with pytest.raises(ConfigError) as caught:
        load_gates(tmp_path / name)
    assert caught.value.code == "gates_not_found"
