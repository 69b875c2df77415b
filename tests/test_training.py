"""Cross-validation end to end on a tiny cohort: what a run holds, resuming to the same bits, refusals."""

import dataclasses
import json
import math
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from dgccl import lightning_fold, training
from dgccl.cohort import Cohort
from dgccl.config import ExperimentConfig
from dgccl.errors import CohortError, TrainingError
from dgccl.lightning_fold import RowBatches, derive_seed, initial_network, warmup_cosine
from dgccl.lightning_state import SafetensorsCheckpointIO
from dgccl.training import train

from .tiny_cohort import WITHOUT_CT, WITHOUT_PET, tiny_config, write_tiny_cohort

CONFIG = tiny_config()


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return write_tiny_cohort(tmp_path_factory.mktemp("tiny") / "cohort")


@pytest.fixture(scope="module")
def run_dir(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never interrupted."""
    return train(cohort, tmp_path_factory.mktemp("whole") / "run", CONFIG, device="cpu")


def content(run_dir: Path) -> dict[str, Any]:
    """Everything that a run computed."""
    tensors = load_file(run_dir / "embeddings.safetensors")
    for path in sorted((run_dir / "weights").iterdir()):
        tensors |= {f"{path.name}/{name}": value for name, value in load_file(path).items()}
    return {
        "predictions": pd.read_parquet(run_dir / "predictions.parquet"),
        "history": pd.read_csv(run_dir / "history.csv"),
        "embeddings": pd.read_csv(run_dir / "embeddings.csv"),
        "folds": pd.read_csv(run_dir / "folds.csv"),
        "tensors": tensors,
    }


def assert_same_bits(run_dir: Path, other: Path) -> None:
    found, expected = content(run_dir), content(other)
    for name in ("predictions", "history", "embeddings", "folds"):
        pd.testing.assert_frame_equal(found[name], expected[name], check_exact=True)
    assert found["tensors"].keys() == expected["tensors"].keys()
    for name, value in expected["tensors"].items():
        assert found["tensors"][name].tobytes() == value.tobytes(), name


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def test_a_run_holds_what_evaluation_reads(run_dir: Path, cohort: Cohort) -> None:
    found = content(run_dir)
    table = found["predictions"]
    assert list(table["model"].unique()) == ["dgccl", "late_fusion"]
    assert set(table["split"]) == {"validation", "test"}
    assert table["y_score"].between(0, 1).all()
    for _, rows in table.loc[(table["split"] == "test") & (table["pattern"] == "ct+pet")].groupby("model"):
        assert sorted(rows["lesion_id"]) == sorted(cohort.lesions["lesion_id"])
        labels = cohort.lesions.set_index("lesion_id")["label"]
        assert (rows["y_true"].to_numpy() == labels[rows["lesion_id"]].to_numpy()).all()
    folds = found["folds"]
    for keys, rows in table.groupby(["model", "fold", "split"]):
        chosen = folds.loc[(folds["fold"] == keys[1]) & (folds["split"] == keys[2]), "lesion_id"]
        assert set(rows["lesion_id"]) == set(chosen)
    assert list(found["history"].columns) == [
        "model", "fold", "epoch", "train_loss", "validation_loss", "validation_auroc"
    ]  # fmt: skip
    assert len(found["history"]) == 2 * 2 * 2
    assert np.isfinite(found["history"].to_numpy()[:, 2:].astype(float)).all()
    run = json.loads((run_dir / "run.json").read_text())
    assert run["quantities"] == {"ct": "hu", "pet": "sul"}
    assert run["cohort_sha256"] == cohort.sha256
    assert run["finished"] is not None
    assert ExperimentConfig.model_validate(json.loads((run_dir / "config.json").read_text())) == CONFIG
    assert json.loads((run_dir / "environment.json").read_text())["device"] == "cpu"
    assert len(list((run_dir / "tensorboard").rglob("events.*"))) == 4
    assert not (run_dir / "unfinished").exists()


def test_patterns_name_what_was_shown(run_dir: Path) -> None:
    table = content(run_dir)["predictions"]
    test = table.loc[table["split"] == "test"]
    without_ct = {f"L{index:02d}" for index in WITHOUT_CT}
    without_pet = {f"L{index:02d}" for index in WITHOUT_PET}
    shown = {
        pattern: set(rows["lesion_id"])
        for pattern, rows in test.loc[test["model"] == "dgccl"].groupby("pattern")
    }
    assert shown["ct"] == shown["ct+pet"] - without_ct
    assert shown["pet"] == shown["ct+pet"] - without_pet
    wanted = test["lesion_id"].map(
        lambda lesion: "pet" if lesion in without_ct else "ct" if lesion in without_pet else "ct+pet"
    )
    complete = test["pattern"] == "ct+pet"
    assert (test.loc[complete, "modalities_shown"] == wanted[complete]).all()
    assert (test.loc[~complete, "modalities_shown"] == test.loc[~complete, "pattern"]).all()
    # What a lesion without PET shows as "ct+pet" is what it shows as "ct".
    keyed = test.set_index(["model", "lesion_id", "pattern"])["y_score"]
    for lesion in without_pet:
        assert keyed["dgccl", lesion, "ct+pet"] == pytest.approx(keyed["dgccl", lesion, "ct"], abs=1e-6)


def test_gate_columns_sum_to_one_over_what_was_shown(run_dir: Path) -> None:
    table = content(run_dir)["predictions"]
    gates = table[["gate_ct", "gate_pet"]]
    assert gates.loc[table["model"] == "late_fusion"].isna().all(axis=None)
    ours = table["model"] == "dgccl"
    np.testing.assert_allclose(gates[ours].sum(axis=1), 1.0, atol=1e-6)
    for name in ("ct", "pet"):
        seen = table["modalities_shown"].str.split("+").map(lambda names, name=name: name in names)
        assert (gates.loc[ours, f"gate_{name}"].notna() == seen[ours]).all()


def test_embeddings_belong_to_their_rows(run_dir: Path, cohort: Cohort) -> None:
    found = content(run_dir)
    table, tensors = found["embeddings"], found["tensors"]
    assert sorted(table["lesion_id"]) == sorted(cohort.lesions["lesion_id"])
    for model, names in (("dgccl", {"ct", "pet", "fused"}), ("late_fusion", {"ct", "pet"})):
        names = names | {"ct_untrained", "pet_untrained", "row"}
        assert {key.split("/")[1] for key in tensors if key.startswith(f"{model}/")} == names
        assert (tensors[f"{model}/row"] == np.arange(24)).all()
        missing = table["lesion_id"].isin([f"L{index:02d}" for index in WITHOUT_PET]).to_numpy()
        for key in (f"{model}/pet", f"{model}/pet_untrained"):
            assert tensors[key].shape == (24, 8)
            assert (np.abs(tensors[key]).sum(axis=1) == 0).tolist() == missing.tolist()
        assert not np.allclose(tensors[f"{model}/ct"], tensors[f"{model}/ct_untrained"])


def test_training_says_nothing_on_the_terminal(
    cohort: Cohort, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    told: list[tuple[str, int, int]] = []
    train(
        cohort,
        tmp_path / "run",
        tiny_config(epochs=1).model_copy(update={"models": ("dgccl",)}),
        device="cpu",
        progress=lambda *item: told.append(item),
    )
    assert capfd.readouterr() == ("", "")
    assert told == [("Training dgccl", 1, 2), ("Training dgccl", 1, 2)] + [("Training dgccl", 2, 2)] * 2


class Killed(BaseException):
    """Stands for the power going off; nothing catches it."""


def kill_at_epoch(count: int) -> Any:
    """Progress callback that takes the process away, as `kill -9` does, at its n-th call."""
    calls = []

    def progress(description: str, done: int, total: int) -> None:
        calls.append(done)
        if len(calls) == count:
            os.kill(os.getpid(), signal.SIGKILL)

    return progress


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the child to be killed is a fork")
def test_a_killed_run_ends_in_the_same_bits(cohort: Cohort, tmp_path: Path, run_dir: Path) -> None:
    target = tmp_path / "run"
    for call in (1, 2, 5):  # in the first fold; between its last epoch and its end; in a later fold
        child = os.fork()
        if child == 0:
            try:
                train(cohort, target, CONFIG, device="cpu", progress=kill_at_epoch(call))
            finally:
                os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status)
        assert not (target / "predictions.parquet").exists()
    assert list((target / "unfinished").glob("*.safetensors"))
    train(cohort, target, CONFIG, device="cpu")
    assert_same_bits(target, run_dir)


def test_after_an_error_in_mid_epoch_only_what_is_unfinished_is_trained_to_the_same_bits(
    cohort: Cohort, tmp_path: Path, run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = lightning_fold.Objective.forward, []

    def failing(*arguments: Any, **rest: Any) -> Any:
        calls.append(1)
        if len(calls) == 11:  # an epoch takes 3: second fold, second epoch, second batch
            raise Killed
        return real(*arguments, **rest)

    monkeypatch.setattr(lightning_fold.Objective, "forward", failing)
    with pytest.raises(Killed):
        train(cohort, tmp_path / "run", CONFIG, device="cpu")
    fitted, real_fit = [], training.fit_fold

    def counted(data: Any, **rest: Any) -> Any:
        fitted.append((rest["model"], data.split.fold))
        return real_fit(data, **rest)

    monkeypatch.setattr(training, "fit_fold", counted)
    train(cohort, tmp_path / "run", CONFIG, device="cpu")
    assert fitted == [("dgccl", 1), ("late_fusion", 0), ("late_fusion", 1)]
    assert_same_bits(tmp_path / "run", run_dir)


def test_a_fold_that_had_stopped_early_does_not_go_on(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, validations = lightning_fold.Objective.forward, []

    def worse_each_time(*arguments: Any, **rest: Any) -> Any:
        terms = real(*arguments, **rest)
        if torch.is_grad_enabled():
            return terms
        validations.append(1)
        return dataclasses.replace(terms, total=terms.total + 10.0 * len(validations))

    monkeypatch.setattr(lightning_fold.Objective, "forward", worse_each_time)
    config = tiny_config(epochs=4, patience=1).model_copy(update={"models": ("dgccl",)})
    train(cohort, tmp_path / "whole", config, device="cpu")
    assert content(tmp_path / "whole")["history"].groupby("fold").size().tolist() == [2, 2]

    def kill_after_the_last_epoch(description: str, done: int, total: int) -> None:
        if done == 2:
            raise Killed

    validations.clear()
    with pytest.raises(Killed):
        train(cohort, tmp_path / "run", config, device="cpu", progress=kill_after_the_last_epoch)
    assert not training.has_fold(tmp_path / "run", "dgccl", 0)
    train(cohort, tmp_path / "run", config, device="cpu")
    assert_same_bits(tmp_path / "run", tmp_path / "whole")


def test_a_finished_run_is_left_as_it_is(cohort: Cohort, run_dir: Path) -> None:
    before = {name: data for name, (_, data) in snapshot(run_dir).items()}
    assert train(cohort, run_dir, CONFIG, device="cpu") == run_dir
    assert {name: data for name, (_, data) in snapshot(run_dir).items()} == before


@pytest.mark.parametrize("what", ["configuration", "cohort"])
def test_another_run_in_the_folder_is_left_untouched(
    what: str, cohort: Cohort, run_dir: Path, tmp_path: Path
) -> None:
    shutil.copytree(run_dir, tmp_path / "run")
    before = snapshot(tmp_path / "run")
    other = write_tiny_cohort(tmp_path / "other", seed=1) if what == "cohort" else cohort
    config = CONFIG if what == "cohort" else CONFIG.model_copy(update={"seed": 8})
    with pytest.raises(TrainingError, match=f"another {what}") as caught:
        train(other, tmp_path / "run", config, device="cpu")
    assert caught.value.code == "run_dir_mismatch"
    assert caught.value.remedy
    assert snapshot(tmp_path / "run") == before


def test_a_folder_with_other_files_is_left_untouched(cohort: Cohort, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(TrainingError) as caught:
        train(cohort, tmp_path, CONFIG, device="cpu")
    assert caught.value.code == "run_dir_not_empty"
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_loss_that_is_no_number_names_model_fold_and_epoch(cohort: Cohort, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"dgccl is not a number in fold 0, epoch 0") as caught:
        train(cohort, tmp_path / "run", tiny_config(learning_rate=1e30), device="cpu")
    assert caught.value.code == "nan_loss"


@pytest.mark.parametrize(
    ("labels", "folds", "code"),
    [
        ([0] * 24, 2, "one_class"),
        ([0, 1] * 12, 24, "fewer_patients_than_folds"),
        ([0, 1, 2] * 8, 2, "label_out_of_range"),
    ],
)
def test_cohorts_that_cannot_be_learned_from_are_refused(
    labels: list[int], folds: int, code: str, tmp_path: Path
) -> None:
    cohort = write_tiny_cohort(tmp_path / "cohort", labels=labels)
    with pytest.raises(CohortError) as caught:
        train(cohort, tmp_path / "run", tiny_config(folds=folds), device="cpu")
    assert caught.value.code == code
    assert not (tmp_path / "run").exists()


def test_mixed_precision_trains_and_half_precision_needs_cuda(cohort: Cohort, tmp_path: Path) -> None:
    config = tiny_config(epochs=1, precision="bf16-mixed").model_copy(update={"models": ("dgccl",)})
    train(cohort, tmp_path / "mixed", config, device="cpu")
    assert content(tmp_path / "mixed")["predictions"]["y_score"].between(0, 1).all()
    with pytest.raises(TrainingError) as caught:
        train(cohort, tmp_path / "half", tiny_config(precision="16-mixed"), device="cpu")
    assert caught.value.code == "precision_unavailable"


def test_an_absent_device_is_refused(cohort: Cohort, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("a CUDA device is there")
    with pytest.raises(TrainingError) as caught:
        train(cohort, tmp_path / "run", CONFIG, device="cuda")
    assert caught.value.code == "device_unavailable"


def test_initial_weights_depend_on_seed_and_fold_alone() -> None:
    torch.manual_seed(0)
    first = initial_network(CONFIG, "dgccl", fold=0).state_dict()
    expected = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(torch.rand(1), expected), "building a network moved the caller's random state"
    torch.manual_seed(99)
    again = initial_network(CONFIG, "dgccl", fold=0).state_dict()
    other = initial_network(CONFIG, "dgccl", fold=1).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)
    seeds = {derive_seed(a, b, c) for a in range(5) for b in range(5) for c in range(5)}
    assert len(seeds) == 125


@given(count=st.integers(2, 200), batch_size=st.integers(2, 40), seed=st.integers(0, 99))
def test_batches_hold_every_row_once_and_none_is_left_alone(count: int, batch_size: int, seed: int) -> None:
    batches = RowBatches(np.arange(count) * 3, batch_size=batch_size)
    batches.shuffle(torch.Generator().manual_seed(seed))
    sizes = [len(batch) for batch in batches]
    assert len(sizes) == len(batches)
    assert sorted(torch.cat(list(batches)).tolist()) == list(range(0, 3 * count, 3))
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= 2 or batch_size == 2 or count < 4


def test_learning_rate_warms_up_then_falls_to_zero() -> None:
    factors = [warmup_cosine(step, warmup=10, steps=100) for step in range(101)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[10] == 1.0
    assert all(np.diff(factors[:10]) > 0)
    assert all(np.diff(factors[10:]) < 0)
    assert factors[55] == pytest.approx(0.5)
    assert factors[100] == pytest.approx(0.0, abs=1e-12)


leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
)
trees = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=4) | st.integers(0, 9), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(deadline=None, max_examples=50)
@given(tree=st.dictionaries(st.text(max_size=4), trees, max_size=4))
def test_checkpoints_come_back_as_they_were(
    tree: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path, plugin = tmp_path_factory.getbasetemp() / "state.safetensors", SafetensorsCheckpointIO()
    shared = torch.arange(6.0).reshape(2, 3)
    tensors = {"a": shared.T, 3: (shared, torch.tensor(1, dtype=torch.int64)), "b": torch.zeros(0).bfloat16()}
    plugin.save_checkpoint({"tree": tree, "tensors": tensors, "inf": math.inf}, path)
    found = plugin.load_checkpoint(path)
    assert found["tree"] == tree
    assert found["inf"] == math.inf
    assert torch.equal(found["tensors"]["a"], shared.T)
    assert isinstance(found["tensors"][3], tuple)
    assert torch.equal(found["tensors"][3][0], shared)
    assert found["tensors"]["b"].dtype == torch.bfloat16


def test_checkpoints_keep_the_order_of_memory(tmp_path: Path) -> None:
    plugin, path = SafetensorsCheckpointIO(), tmp_path / "state.safetensors"
    weight = torch.rand(4, 3, 5, 5).to(memory_format=torch.channels_last)
    plugin.save_checkpoint({"last": weight, "plain": weight.contiguous()}, path)
    found = plugin.load_checkpoint(path)
    assert torch.equal(found["last"], weight)
    assert found["last"].stride() == weight.stride()
    assert found["plain"].is_contiguous()


def test_checkpoints_hold_no_objects_and_say_when_they_are_damaged(tmp_path: Path) -> None:
    plugin, path = SafetensorsCheckpointIO(), tmp_path / "state.safetensors"
    with pytest.raises(TypeError, match="cannot hold object"):
        plugin.save_checkpoint({"x": object()}, path)
    assert not path.exists()
    path.write_bytes(b"cut off")
    with pytest.raises(TrainingError) as caught:
        plugin.load_checkpoint(path)
    assert caught.value.code == "resume_state_damaged"
    plugin.remove_checkpoint(path)
    assert not path.exists()
