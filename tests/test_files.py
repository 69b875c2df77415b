"""The command that is kept with results can be called again."""

import shlex
import sys

import pytest

from dgccl.files import this_command


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["/opt/bin/dgccl", "train", "a cohort"], ["dgccl", "train", "a cohort"]),
        (["/opt/dgccl/__main__.py", "train", "c"], ["python", "-m", "dgccl", "train", "c"]),
    ],
)
def test_this_command(argv: list[str], words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", argv)
    assert shlex.split(this_command()) == words
