"""Training from pre-trained encoders: the same bits, what does not fit, and no test lesion seen before."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from dgccl import cli, training
from dgccl.cohort import Cohort
from dgccl.config import ExperimentConfig
from dgccl.errors import DgcclError, TrainingError
from dgccl.lightning_fold import initial_network
from dgccl.model.baselines import LateFusion
from dgccl.pretraining.start import lesions_seen, open_start
from dgccl.training import train

from ..tiny_cohort import tiny_config, write_tiny_cohort
from .conftest import pretraining_experiment

QUANTITIES = {"ct": "hu", "pet": "sul"}


def experiment(*models: str, **training_settings: object) -> ExperimentConfig:
    config = tiny_config(**({"epochs": 1} | training_settings))
    return config.model_copy(update={"models": models or ("gated_residual",)})


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """Other patients than those of the pre-training."""
    folder = tmp_path_factory.mktemp("labelled") / "cohort"
    write_tiny_cohort(folder, seed=5)
    table = (folder / "lesions.csv").read_text().replace("\nL", "\nN").replace(",P", ",Q")
    (folder / "lesions.csv").write_text(table)
    for path in (folder / "arrays").iterdir():
        path.rename(path.with_name(path.name.replace("L", "N")))
    from dgccl.cohort import open_cohort

    return open_cohort(folder)


def open_it(start: Path, cohort: Cohort, config: ExperimentConfig, **changes: Any) -> Any:
    arguments = {"quantities": QUANTITIES, "allow_transductive": False} | changes
    return open_start(start, cohort=cohort, config=config, **arguments)


@pytest.mark.parametrize(
    "model",
    [
        "gated_residual",
        "dgccl",
        "late_fusion",
        "concatenation",
        "cross_attention",
        "product_of_experts",
        "single_ct",
    ],
)
def test_every_model_with_encoders_begins_with_the_pretrained_bits(
    model: str, pretrained: Path, cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[dict[str, torch.Tensor]] = []

    class Seen(BaseException):
        pass

    def look(*_: Any, start: dict[str, torch.Tensor], **__: Any) -> None:
        given.append(start)
        raise Seen

    monkeypatch.setattr(training, "fit_fold", look)
    config = experiment(model)
    with pytest.raises(Seen):
        train(cohort, tmp_path / "run", config, device="cpu", start=pretrained)
    network = initial_network(config, model, fold=0)
    drawn = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.load_state_dict(given[0])
    saved = load_file(pretrained / "encoders.safetensors")
    for name, tensor in network.state_dict().items():
        expected = saved[name] if name.startswith("encoders.") else drawn[name]
        assert torch.equal(tensor, expected), name


def test_a_run_knows_what_it_began_with(pretrained: Path, cohort: Cohort, tmp_path: Path) -> None:
    config = experiment()
    train(cohort, tmp_path / "with", config, device="cpu", start=pretrained)
    run = json.loads((tmp_path / "with" / "run.json").read_text())
    manifest = json.loads((pretrained / "pretraining.json").read_text())
    assert run["start"]["encoders_sha256"] == manifest["encoders_sha256"] == run["start_sha256"]
    assert (run["start"]["transductive_lesions"], run["start"]["warning"]) == (0, None)
    train(cohort, tmp_path / "without", config, device="cpu")
    assert json.loads((tmp_path / "without" / "run.json").read_text())["start"] is None
    for folder, start in (("with", None), ("without", pretrained)):
        before = (tmp_path / folder / "run.json").read_bytes()
        with pytest.raises(TrainingError, match="another start") as caught:
            train(cohort, tmp_path / folder, config, device="cpu", start=start)
        assert caught.value.code == "run_dir_mismatch"
        assert (tmp_path / folder / "run.json").read_bytes() == before
    one, other = (load_file(tmp_path / f / "embeddings.safetensors") for f in ("with", "without"))
    assert not torch.equal(one["gated_residual/ct_untrained"], other["gated_residual/ct_untrained"])


def test_lesions_that_were_learned_from_are_not_tested_unasked(
    pretrained: Path, unlabelled: Cohort, tmp_path: Path
) -> None:
    config = experiment(folds=2)
    with pytest.raises(TrainingError) as caught:
        train(unlabelled, tmp_path / "run", config, device="cpu", start=pretrained)
    assert caught.value.code == "transductive_start"
    assert "--allow-transductive" in caught.value.remedy
    assert not (tmp_path / "run").exists()
    train(unlabelled, tmp_path / "run", config, device="cpu", start=pretrained, allow_transductive=True)
    noted = json.loads((tmp_path / "run" / "run.json").read_text())["start"]
    learned = json.loads((pretrained / "pretraining.json").read_text())["n_lesions"]["train"]
    assert noted["transductive_lesions"] == learned
    assert "Transductive" in noted["warning"]


@pytest.mark.parametrize("key", ["lesion_id", "patient_id", "array_sha256"])
def test_a_lesion_is_known_by_any_of_its_names(key: str, cohort: Cohort, unlabelled: Cohort) -> None:
    learned = unlabelled.lesions[["lesion_id", "patient_id", "array_sha256"]].assign(split="train")
    assert not lesions_seen(learned, cohort.lesions).any()
    learned.loc[[2, 3], key] = cohort.lesions.loc[[7, 9], key].to_numpy()
    assert lesions_seen(learned, cohort.lesions).to_numpy().nonzero()[0].tolist() == [7, 9]
    learned.loc[3, "split"] = "validation"  # held out: nothing was learned from it
    assert lesions_seen(learned, cohort.lesions).to_numpy().nonzero()[0].tolist() == [7]
    tables = [table.assign(array_sha256="") for table in (learned, cohort.lesions)]
    assert lesions_seen(*tables).sum() == (key != "array_sha256"), "an empty hash names nobody"


def test_what_does_not_fit_is_named(pretrained: Path, cohort: Cohort, tmp_path: Path) -> None:
    def refused(start: Path, config: ExperimentConfig, **changes: Any) -> DgcclError:
        with pytest.raises(DgcclError) as caught:
            open_it(start, cohort, config, **changes)
        return caught.value

    error = refused(pretrained, experiment("gated_residual", "early_fusion"))
    assert error.code == "start_without_encoders"
    assert "early_fusion" in error.message
    assert "gated_residual" not in error.message
    wide = experiment().model_copy(
        update={"model": tiny_config().model.model_copy(update={"embedding_width": 16})}
    )
    error = refused(pretrained, wide)
    assert (error.code, "embedding_width is 8" in error.message) == ("start_does_not_fit", True)
    error = refused(pretrained, experiment(), quantities=QUANTITIES | {"pet": "suv_bw"})
    assert (error.code, "pet: resolved quantity is sul" in error.message) == ("start_does_not_fit", True)
    assert refused(tmp_path, experiment()).code == "not_a_pretraining"
    shutil.copytree(pretrained, tmp_path / "start")
    manifest = json.loads((pretrained / "pretraining.json").read_text())
    changed = tmp_path / "start" / "pretraining.json"
    changed.write_text(json.dumps(manifest | {"finished": None}))
    assert refused(tmp_path / "start", experiment()).code == "pretraining_unfinished"
    changed.write_text(json.dumps(manifest | {"encoders_sha256": "0" * 64}))
    assert refused(tmp_path / "start", experiment()).code == "start_changed"
    (tmp_path / "start" / "lesions.csv").write_text("who\nme\n")
    changed.write_text(json.dumps(manifest))
    assert refused(tmp_path / "start", experiment()).code == "run_file_damaged"


def test_a_part_of_the_modalities_is_enough(pretrained: Path, cohort: Cohort) -> None:
    raw = experiment("single_ct").model_dump(mode="json")
    raw["modalities"] = {"ct": raw["modalities"]["ct"]}
    start = open_it(pretrained, cohort, ExperimentConfig.model_validate(raw), quantities={"ct": "hu"})
    drawn = LateFusion(ExperimentConfig.model_validate(raw)).state_dict()
    assert start.begin(drawn).keys() == drawn.keys()


def test_the_command_line(
    unlabelled: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = pretraining_experiment(epochs=1)
    toml = tmp_path / "tiny.toml"
    toml.write_text("x")
    single = config.model_copy(update={"models": ("single_ct",)})
    monkeypatch.setattr("dgccl.config.load_config", lambda path: single)

    def call(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["dgccl", *map(str, words)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        told = capsys.readouterr()
        return int(left.value.code or 0), told.out, told.err

    start, run = tmp_path / "start", tmp_path / "run"
    status, out, _ = call("pretrain", unlabelled.folder, start, "--config", toml)
    assert status == 0
    assert "PHANTOM data without labels" in out
    assert "pet->ct: recall at 1" in out
    assert "by chance" in out
    status, out, _ = call("pretrain", unlabelled.folder, start, "--config", toml, "--json")
    assert (status, set(json.loads(out)["retrieval"])) == (0, {"ct->pet", "pet->ct"})
    begin = ["train", unlabelled.folder, run, "--config", toml]
    status, _, err = call(*begin, "--start", start)
    assert (status, "[transductive_start]" in err) == (1, True)
    assert call(*begin, "--allow-transductive")[0] == 2
    status, out, _ = call(*begin, "--start", start, "--allow-transductive")
    assert (status, "! Transductive" in out) == (0, True)
