"""The command line's frame: the application, its version, and how every failure ends."""

import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import Annotated

import typer

from dgccl import __version__
from dgccl.errors import DgcclError

app = typer.Typer(
    name="dgccl",
    help="Benign or malignant from CT + FDG PET: from DICOM to a cross-validated model with its evidence.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # its tracebacks show local variables, which may hold a patient's identity
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)

_UsageError: type[Exception] = typer.BadParameter.__bases__[0]
INTERRUPTED, TERMINATED = 130, 143  # 128 + SIGINT, 128 + SIGTERM, as shells count


def main() -> None:
    """Run the command line; whatever fails ends in one message (with --json, one JSON object) and a status.

    The status is 1 for an error, 2 for a wrong command line, 130 after Ctrl-C, 143 after SIGTERM in a
    training.
    """
    as_json = "--json" in sys.argv[1:]
    try:
        # Standing alone, typer draws its own box around a wrong command line; for a program it is raised.
        status = app(standalone_mode=not as_json)
    except SystemExit as left:  # how typer, standing alone, ends
        status = left.code
    except DgcclError as error:
        status = _fail(error.code, error.message, error.remedy, as_json=as_json)
    except _UsageError as error:
        remedy = "See dgccl --help, or --help after the verb."
        status = _fail("wrong_command_line", _usage_message(error), remedy, as_json=as_json, status=2)
    except OSError as error:
        remedy = "Check the path, its permissions and the space left on the disk."
        status = _fail("file_system", f"{error.strerror}{_argument_in(error)}.", remedy, as_json=as_json)
    except Exception as error:
        # The message of an exception may hold a patient's identity; where it happened does not.
        traceback.print_tb(error.__traceback__)
        message = f"{type(error).__name__}: a fault of dgccl."
        remedy = "Please report the lines above, which tell where it happened."
        status = _fail("unexpected_error", message, remedy, as_json=as_json)
    if status == INTERRUPTED:
        _fail("interrupted", "Stopped by Ctrl-C.", "The same command goes on.", as_json=as_json)
    if status == TERMINATED:
        _fail("terminated", "Stopped by SIGTERM.", "The same command goes on.", as_json=as_json)
    sys.exit(status)


def _fail(code: str, message: str, remedy: str, *, as_json: bool, status: int = 1) -> int:
    """Tell what went wrong; returns the exit status."""
    if as_json:
        print(json.dumps({"error": {"code": code, "message": f"{message} {remedy}".strip()}}))
    else:
        print(f"dgccl: {message} [{code}]", file=sys.stderr)
        if remedy:
            print(f"       {remedy}", file=sys.stderr)
    return status


def _usage_message(error: Exception) -> str:
    format_message: Callable[[], str] = getattr(error, "format_message", lambda: str(error))
    return " ".join(format_message().split())


def _argument_in(error: OSError) -> str:
    """The argument below which a file lies; more of its path could tell a patient's name."""
    path = os.path.abspath(os.fsdecode(error.filename or ""))
    given = [word for word in sys.argv[1:] if error.filename and path.startswith(os.path.abspath(word))]
    return f": {max(given, key=len)}" if given else ""


def _version(value: bool) -> bool:
    if value:
        print(f"dgccl {__version__}")
        raise typer.Exit
    return value


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    pass
