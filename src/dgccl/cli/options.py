"""What the verbs share: common options and the progress bars."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal

import typer

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
LeanBodyMassOption = Annotated[
    Literal["janmahasatian", "james"], typer.Option(help="Formula of the lean body mass behind SUL.")
]
DataKindOption = Annotated[
    Literal["real", "phantom"] | None,
    typer.Option(help="What a CSV file's rows are of; a cohort folder states it itself."),
]
WorkersOption = Annotated[int, typer.Option(min=1, help="Processes; the default is one for each core.")]


def cores() -> int:
    """Cores of this machine, the default number of processes."""
    return os.cpu_count() or 1


@contextmanager
def progress_bars(quiet: bool) -> Iterator[Any]:
    """A callback (description, done, total) that draws progress bars on standard error."""
    if quiet:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description:<44}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    bars: dict[str, Any] = {}
    with Progress(*columns, console=Console(stderr=True)) as progress:

        def report(description: str, done: int, total: int) -> None:
            if description not in bars:
                bars[description] = progress.add_task(description, total=total)
            progress.update(bars[description], completed=done, total=total)

        yield report
