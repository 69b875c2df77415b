"""`dgccl explain` says what the missing image would change, and says so where it cannot."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from dgccl import cli
from dgccl.evaluation import acquisition, evaluate
from dgccl.training import train

from ..tiny_cohort import WITHOUT_PET, tiny_config, write_tiny_cohort

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("outlook")
    return train(
        write_tiny_cohort(folder / "cohort"),
        folder / "run",
        tiny_config(epochs=1, validation_fraction=0.4),
        device="cpu",
    )


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["dgccl", "explain", *map(str, words)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        told = capsys.readouterr()
        return int(left.value.code or 0), told.out, told.err

    return run


def test_too_few_validation_lesions_are_told(run_dir: Path, call: Call, tmp_path: Path) -> None:
    lesion = f"L{WITHOUT_PET[0]:02d}"
    status, out, err = call(run_dir, lesion, "--out", tmp_path)
    assert status == 0, err
    assert "cannot be said" in out
    assert "unavailable" in json.loads((tmp_path / "explanation.json").read_text())["outlook"]
    assert call(run_dir, "L02", "--without", "pet", "--out", tmp_path)[0] != 0
    assert call(run_dir, "L02", "--without", "mr", "--out", tmp_path)[0] != 0
    assert call(run_dir, "--cohort", "--without", "pet", "--out", tmp_path)[0] != 0


@pytest.mark.parametrize(
    ("lesion", "words"), [(f"L{WITHOUT_PET[0]:02d}", ()), ("L02", ("--without", "pet"))], ids=["lacks", "has"]
)
def test_a_case_has_the_outlook_that_evaluate_writes(
    lesion: str,
    words: tuple[str, ...],
    run_dir: Path,
    call: Call,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The tiny run has too few validation lesions for a real expectation; the path is the same with fewer.
    monkeypatch.setattr(acquisition, "FEWEST", 2)
    evaluate(run_dir)
    status, out, err = call(run_dir, lesion, *words, "--out", tmp_path)
    assert status == 0, err
    found = json.loads((tmp_path / "explanation.json").read_text())["outlook"]
    table = pd.read_csv(run_dir / "acquisition.csv", dtype={"lesion_id": "str"})
    (row,) = table.query("model == 'dgccl' and missing == 'pet' and lesion_id == @lesion").to_dict("records")
    for key in ("p_now", "p_median", "p_low", "p_high", "expected_change", "n_validation"):
        assert found[key] == pytest.approx(row[key], rel=1e-5)
    assert ("did bring" in out) == bool(words)
    assert "Chance that the call changes" in out or "no threshold" in out
