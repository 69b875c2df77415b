"""Weights on disk: round trip, refusal of what does not fit, nothing half done."""

import pytest
import torch

from dgccl.errors import TrainingError
from dgccl.model import build_model, load_weights, save_weights

MODELS = ("dgccl", "late_fusion")


@pytest.mark.parametrize("name", MODELS)
def test_round_trip_gives_the_same_bits(small, make_batch, run_backward, tmp_path, name):
    torch.manual_seed(0)
    model = build_model(small, name)
    run_backward(model, small, make_batch(small, 4))  # moves the BatchNorm statistics
    save_weights(model, tmp_path / "w.safetensors", metadata={"fold": "3"})
    torch.manual_seed(1)
    other = build_model(small, name)
    assert load_weights(other, tmp_path / "w.safetensors") == {"fold": "3"}
    images, present, _ = make_batch(small, 4, missing=True, seed=1)
    assert torch.equal(model.eval()(images, present).logits, other.eval()(images, present).logits)
    assert [file.name for file in tmp_path.iterdir()] == ["w.safetensors"]


def test_same_weights_same_file(small, tmp_path):
    torch.manual_seed(0)
    model = build_model(small, "dgccl")
    for file in ("a", "b"):
        save_weights(model, tmp_path / file, metadata={})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    ("saved", "built", "difference"),
    [
        ({"embedding_width": 32}, {"embedding_width": 64}, r"ct.projection.weight is \(32, 24\).*\(64, 24\)"),
        ({}, {"classes": 3}, r"head.3.weight is \(2, 16\) float32 in the file and \(3, 16\)"),
        (
            {"attention_heads": 4},
            {"attention_heads": 8},
            "attention_heads is 4 in the file and 8 in the model",
        ),
        ({}, {"compensation_weight": 0.0}, r"tensor fusion.compensation.*absent in the model"),
        ({"compensation_weight": 0.0}, {}, r"tensor fusion.compensation.*absent in the file"),
    ],
)
def test_another_architecture_is_refused(make_config, tmp_path, saved, built, difference):
    path = tmp_path / "w.safetensors"
    save_weights(build_model(make_config(("ct", "pet"), **saved), "dgccl"), path, metadata={})
    model = build_model(make_config(("ct", "pet"), **built), "dgccl")
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(TrainingError, match=difference) as caught:
        load_weights(model, path)
    assert caught.value.code == "wrong_architecture"
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_another_model_is_refused(small, tmp_path):
    save_weights(build_model(small, "late_fusion"), tmp_path / "w", metadata={})
    with pytest.raises(TrainingError) as caught:
        load_weights(build_model(small, "dgccl"), tmp_path / "w")
    assert caught.value.code == "wrong_architecture"


def test_weights_without_architecture_are_refused(small, tmp_path):
    from safetensors.torch import save_file

    model = build_model(small, "dgccl")
    save_file(model.state_dict(), tmp_path / "w")
    with pytest.raises(TrainingError, match="does not say") as caught:
        load_weights(model, tmp_path / "w")
    assert caught.value.code == "wrong_architecture"


def test_absent_cut_off_and_foreign_files(small, tmp_path):
    model = build_model(small, "dgccl")
    whole = tmp_path / "whole"
    save_weights(model, whole, metadata={})
    content = whole.read_bytes()
    pickled = tmp_path / "pickled"
    torch.save(model.state_dict(), pickled)
    cases = {"absent": "weights_not_found", "pickled": "weights_unreadable"}
    for cut in (0, 4, 200, len(content) // 2, len(content) - 1):
        (tmp_path / f"cut{cut}").write_bytes(content[:cut])
        cases[f"cut{cut}"] = "weights_unreadable"
    for file, code in cases.items():
        with pytest.raises(TrainingError, match=file) as caught:
            load_weights(model, tmp_path / file)
        assert caught.value.code == code, file


def test_a_failed_save_leaves_the_earlier_file(small, tmp_path, monkeypatch):
    model = build_model(small, "dgccl")
    path = tmp_path / "w"
    save_weights(model, path, metadata={"epoch": "1"})

    def fail(_tensors, file, **_keywords):
        file.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr("dgccl.model.checkpoint.save_file", fail)
    with pytest.raises(OSError, match="disk full"):
        save_weights(model, path, metadata={"epoch": "2"})
    assert load_weights(model, path) == {"epoch": "1"}


def test_reserved_metadata_key(small, tmp_path):
    with pytest.raises(ValueError, match="reserved"):
        save_weights(build_model(small, "dgccl"), tmp_path / "w", metadata={"architecture": "x"})
