"""The command line's own part: one message and a defined status, whatever fails."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from dgccl import cli

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["dgccl", *map(str, words)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        told = capsys.readouterr()
        return int(left.value.code or 0), told.out, told.err

    return run


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(*_: Any, **__: Any) -> NoReturn:
        raise error

    monkeypatch.setattr("dgccl.dicom.suv_table.suv_table", fail)


@pytest.mark.parametrize(
    "words",
    [
        ["ingest", "a", "b"],
        ["phantom", "out", "--patients", "many"],
        ["phantom", "out", "--patients", "0"],
        ["frobnicate"],
        ["suv", "folder", "--unheard-of"],
        [],
    ],
)
def test_a_wrong_command_line_is_told_in_json_too(call: Call, words: list[str]) -> None:
    assert call(*words)[0] == 2
    status, out, _ = call(*words, "--json")
    assert status == 2
    assert json.loads(out)["error"]["code"] == "wrong_command_line"


@pytest.mark.parametrize(
    "words",
    [
        ["phantom", "FILE/below", "--patients", "1"],
        ["ingest", "FOLDER", "FILE", "--labels", "LABELS"],
        ["ingest", "FOLDER", "FILE/below", "--labels", "LABELS"],
        ["ingest", "FOLDER", "OUT", "--labels", "FOLDER"],
        ["ingest", "FOLDER", "OUT", "--labels", "FILE/below"],
        ["train", "FILE", "OUT", "--config", "FOLDER"],
        ["train", "FILE", "OUT", "--config", "configs/fast.toml"],
        ["evaluate", "FILE"],
        ["report", "FILE"],
    ],
)
def test_a_file_where_a_folder_belongs(call: Call, tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "FILE").write_text("mine")
    (tmp_path / "FOLDER").mkdir()
    (tmp_path / "FOLDER" / "x.txt").write_text("no image")
    (tmp_path / "LABELS").write_text("patient_id,label\nA,0\n")
    project = Path(__file__).resolve().parents[1]
    paths = [
        project / word
        if word.startswith("configs")
        else tmp_path / word
        if word.isupper() or "/" in word
        else word
        for word in words
    ]
    status, out, err = call(*paths)
    assert (status, out) == (1, "")
    assert "Traceback" not in err
    assert err.count("dgccl: ") == 1
    status, out, _ = call(*paths, "--json")
    assert status == 1
    assert json.loads(out)["error"]["code"] != "unexpected_error"
    assert (tmp_path / "FILE").read_text() == "mine"
    assert not (tmp_path / "OUT").exists()


def test_a_file_error_names_the_argument_and_not_the_file_below_it(
    call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    failing(monkeypatch, PermissionError(13, "Permission denied", str(tmp_path / "Smith^John" / "1.dcm")))
    status, _, err = call("suv", tmp_path)
    assert status == 1
    assert f"Permission denied: {tmp_path}. [file_system]" in err
    assert "Smith" not in err


def test_an_unforeseen_error_tells_where_and_not_whom(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, KeyError("Smith^John"))
    status, out, err = call("suv", "x", "--json")
    assert status == 1
    assert json.loads(out)["error"]["code"] == "unexpected_error"
    assert "KeyError" in out
    assert "in suv" in err
    assert "Smith" not in out + err


def test_an_interrupt_ends_with_its_own_status(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, KeyboardInterrupt())
    status, out, err = call("suv", "x")
    assert status == 130
    assert "[interrupted]" in err
    status, out, _ = call("suv", "x", "--json")
    assert (status, json.loads(out)["error"]["code"]) == (130, "interrupted")
