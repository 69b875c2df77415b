"""The verb `dgccl benchmark`: it trains what is asked for, waits with the tables, and writes them at the end."""

import json
import sys
from pathlib import Path

import pytest

from dgccl import cli
from dgccl.benchmark.settings import load_benchmark

from .conftest import STANDARD

SMALLER = {
    "seeds = [101, 102, 103, 104, 105]": "seeds = [1]",
    "train = 2000": "train = 16",
    "validation = 500": "validation = 8",
    "test = 4000": "test = 24",
    "training_poses = 24": "training_poses = 1",
    "test_poses = 4": "test_poses = 4",
    "large = 100000": "large = 20",
    "large_poses = 4": "large_poses = 1",
    "input_px = 40": "input_px = 16",
    "input_px = 24": "input_px = 16",
    "encoder_width = 64": "encoder_width = 8",
    "epochs = 32": "epochs = 1",
}
METHODS = """
[[methods]]
name = "recommended"
label = "Recommended"
model = "gated_residual"
group = "recommended"

[[methods]]
name = "single_ct"
label = "CT alone"
model = "single_ct"
group = "single"
"""


def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> dict:
    monkeypatch.setattr(sys, "argv", ["dgccl", *words, "--json"])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code in (0, None)
    return json.loads(capsys.readouterr().out)


def test_tables_wait_until_all_is_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = STANDARD.read_text(encoding="utf-8")
    text = text[: text.index("[[methods]]")] + METHODS
    for old, new in SMALLER.items():
        assert old in text, old
        text = text.replace(old, new)
    config = tmp_path / "tiny.toml"
    config.write_text(text, encoding="utf-8")
    where = ["--config", str(config), "--work", str(tmp_path / "work"), "--out", str(tmp_path / "out")]
    verb = ["benchmark", "phantom", *where, "--workers", "1", "--device", "cpu"]
    assert call(capsys, monkeypatch, *verb, "--only", "single_ct") == {"finished": False}
    assert not (tmp_path / "out").exists()
    assert call(capsys, monkeypatch, *verb)["finished"] is True
    results = json.loads((tmp_path / "out" / "phantom.json").read_text(encoding="utf-8"))
    assert {row["method"] for row in results["rows"]} == {"recommended", "single_ct"}
    page = (tmp_path / "out" / "phantom.md").read_text(encoding="utf-8")
    assert results["meta"]["command"] in page
    assert (tmp_path / "out" / "phantom-missing.svg").read_text(encoding="utf-8").startswith("<svg")


def test_throughput_is_told(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    fast = STANDARD.parents[1] / "fast.toml"
    found = call(
        capsys,
        monkeypatch,
        "benchmark",
        "throughput",
        "--config",
        str(fast),
        "--device",
        "cpu",
        "--steps",
        "1",
    )
    assert found["samples_per_s"] > 0
    assert found["share_of_peak"] is None


def test_lesions_for_developing_are_not_those_of_the_benchmark() -> None:
    standard, development = (
        load_benchmark(STANDARD.with_name(f"{name}.toml")) for name in ("phantom", "development")
    )
    used = {*standard.seeds, standard.data.large_seed}
    assert not used & {*development.seeds, development.data.large_seed}
    assert development.methods == standard.methods
    assert development.experiment == standard.experiment
