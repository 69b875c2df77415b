"""Work spread over processes that fall silent on Ctrl-C and never outlive the process that started them."""

import ctypes
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing import connection, get_context, parent_process
from typing import Any

from dgccl.errors import DgcclError

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


def map_in_processes(
    function: Callable[[Any], Any], items: Sequence[Any], *, workers: int
) -> Iterator[tuple[int, Any]]:
    """Apply a function to each item, in this process or in several.

    Args:
        function: of one item; picklable, as are the items and results.
        items: what it is applied to.
        workers: processes; with one, or one item, no other process is started.

    Yields:
        (index of the item, its result), as they finish.

    Raises:
        DgcclError: `worker_died`: a worker was ended from outside.
    """
    if workers <= 1 or len(items) <= 1:
        yield from ((index, function(item)) for index, item in enumerate(items))
        return
    # spawn, since a fork of a process that has threads (progress display) can hang.
    pool = ProcessPoolExecutor(
        min(workers, len(items)), mp_context=get_context("spawn"), initializer=end_with_parent
    )
    try:
        with interrupts_ignored():  # what a process ignores, the processes that it starts ignore too
            futures = [pool.submit(function, item) for item in items]
        yield from _as_completed(futures)
    except BrokenProcessPool as error:
        raise DgcclError(
            "worker_died",
            "A worker process was ended from outside, perhaps because memory ran out.",
            remedy="Call again with --workers 1; what is finished is kept.",
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _as_completed(futures: list[Future]) -> Iterator[tuple[int, Any]]:
    index_of = {future: index for index, future in enumerate(futures)}
    for future in as_completed(futures):
        yield index_of[future], future.result()


@contextmanager
def interrupts_ignored() -> Iterator[None]:
    """Ignore Ctrl-C for a moment; a thread beside the main one cannot, and need not."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def end_with_parent() -> None:
    """Leave when the parent is gone, e.g. killed; else a worker would wait for work for ever."""
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def keep_freed_memory() -> None:
    """Tell the process's allocator to keep what is freed, for processes that draw many lesions or train on the CPU.

    Taking 20 MB anew from the system costs a drawn lesion a fifth of its time, and a training step of small images
    more than a quarter. Without glibc nothing changes.

    Source: mallopt(3) of the GNU C library.
    """
    with suppress(AttributeError, OSError):
        libc = ctypes.CDLL(None)
        libc.mallopt(M_TRIM_THRESHOLD, 1 << 30)
        libc.mallopt(M_MMAP_THRESHOLD, 1 << 25)
