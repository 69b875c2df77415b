"""Processes: order and results, Ctrl-C, a parent that is killed, a worker that dies."""

import operator
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dgccl.errors import DgcclError
from dgccl.workers import map_in_processes

SLEEPER = """
import os, sys, time
from pathlib import Path
from dgccl.workers import map_in_processes

def work(folder):
    Path(folder, str(os.getpid())).touch()
    time.sleep(SECONDS)

if __name__ == "__main__":
    list(map_in_processes(work, [sys.argv[1]] * 8, workers=2))
"""


def start(tmp_path: Path, seconds: float) -> tuple[subprocess.Popen[str], list[int]]:
    """A process with two workers at work, and their process ids."""
    script, marks = tmp_path / "sleeper.py", tmp_path / "marks"
    script.write_text(SLEEPER.replace("SECONDS", str(seconds)), encoding="utf-8")
    marks.mkdir()
    process = subprocess.Popen(
        [sys.executable, str(script), str(marks)], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    patience = time.monotonic() + 60
    while len(list(marks.iterdir())) < 2:
        assert time.monotonic() < patience
        time.sleep(0.05)
    return process, [int(path.name) for path in marks.iterdir()]


def running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"


@pytest.mark.parametrize("workers", [1, 2])
def test_every_item_is_done_once(workers: int) -> None:
    assert sorted(map_in_processes(operator.neg, [3, 1, 2], workers=workers)) == [(0, -3), (1, -1), (2, -2)]


def test_a_dead_worker_is_one_clear_error() -> None:
    with pytest.raises(DgcclError) as caught:
        list(map_in_processes(os._exit, [1, 1], workers=2))
    assert caught.value.code == "worker_died"


def test_workers_say_nothing_when_the_user_interrupts(tmp_path: Path) -> None:
    process, _ = start(tmp_path, seconds=0.5)
    os.killpg(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert told.count("Traceback") == 1, told  # the parent's own
    assert told.rstrip().endswith("KeyboardInterrupt")


def test_workers_go_with_a_killed_parent(tmp_path: Path) -> None:
    process, workers = start(tmp_path, seconds=600)
    process.kill()
    process.communicate(timeout=60)  # the workers hold its standard error
    patience = time.monotonic() + 30
    while any(running(pid) for pid in workers):
        assert time.monotonic() < patience, "a worker outlived its parent"
        time.sleep(0.05)
