"""Files appear whole or not at all; and the command that they came from."""

import os
import shlex
import sys
import tempfile
from pathlib import Path


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file through a temporary one beside it, so that a kill leaves the old file or the new one.

    Args:
        path: file to write; its folder is made if need be.
        content: text (stored as UTF-8) or bytes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def this_command() -> str:
    """The command line of this process, as a shell takes it."""
    name = Path(sys.argv[0]).name
    return shlex.join([*(["python", "-m", "dgccl"] if name == "__main__.py" else [name]), *sys.argv[1:]])
