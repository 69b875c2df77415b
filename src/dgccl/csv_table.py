"""Tables as spreadsheets write them: commas, semicolons or tabs, UTF-8 or UTF-16, every fault told by its line."""

import csv
import re
from pathlib import Path

import pandas as pd

from dgccl.errors import CohortError

MISSING = frozenset({"", "na", "n/a", "nan"})
"""Entries that stand for a value nobody knows, in small letters: an empty cell, and what R and pandas write."""

_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?")


def read_csv_table(path: Path, *, needed: tuple[str, ...], known: tuple[str, ...] = ()) -> pd.DataFrame:
    """A table as text, with the needed columns, indexed by line number; rows without any value are left out.

    Where semicolons separate, entries such as `1,5` are numbers with a decimal comma and get a point; not so in
    `patient_id` and the `known` columns, which are words.

    Args:
        path: CSV file.
        needed: columns that must be there.
        known: columns that may be there; like the needed ones they count in any letter case, unless one is spelled
            exactly so.

    Raises:
        CohortError: `table_not_found`, `table_unreadable`, `column_missing`, `column_repeated`, `row_too_long`.
    """
    lines = _decode(path).splitlines(keepends=True)
    first = 0
    while first < len(lines) and (not lines[first].strip() or lines[first].lower().startswith("sep=")):
        first += 1
    if first == len(lines):
        raise _unreadable(path)
    separator = max(",;\t", key=lines[first].count)
    reader = csv.reader(lines[first:], delimiter=separator, skipinitialspace=True, strict=True)
    try:
        rows = [(first + reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except csv.Error as error:
        raise _unreadable(path) from error
    columns = _columns(path, rows[0][1], needed, known)
    width = len(columns)
    for number, row in rows:
        if any(row[width:]):
            raise CohortError(
                "row_too_long",
                f"{path.name}, row {number} has {len(row)} values for {width} columns.",
                remedy=f"Put double quotes around a value that holds {separator!r}.",
            )
    kept = {number: (row + [""] * width)[:width] for number, row in rows[1:] if any(row)}
    table = pd.DataFrame.from_dict(kept, orient="index", columns=columns, dtype="str")
    if separator == ";":
        values = [name for name in columns if name not in ("patient_id", *known)]
        table[values] = table[values].map(_decimal_point)
    return table


def _decimal_point(word: str) -> str:
    return word.replace(",", ".") if _DECIMAL_COMMA.fullmatch(word) else word


def _decode(path: Path) -> str:
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise CohortError(
            "table_not_found", f"There is no file {path.name}.", remedy="Check the path of the table."
        ) from error
    try:
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise _unreadable(path) from error
    if "\0" in text:
        raise _unreadable(path)
    return text


def _unreadable(path: Path) -> CohortError:
    return CohortError(
        "table_unreadable",
        f"{path.name} cannot be read as CSV.",
        remedy="Save it as UTF-8 text with commas, a row of column names first.",
    )


def _columns(path: Path, header: list[str], needed: tuple[str, ...], optional: tuple[str, ...]) -> list[str]:
    """Names of the columns; those that mean something to us count in any letter case where none is spelled so."""
    while header and not header[-1]:
        header.pop()
    spelled = {*needed, *optional} & set(header)
    folded = {name.lower(): name for name in (*optional, *needed) if name not in spelled}
    columns = [name if name in spelled else folded.get(name.lower(), name) for name in header]
    missing = [name for name in needed if name not in columns]
    if missing:
        raise CohortError(
            "column_missing",
            f"{path.name} lacks the column {', '.join(missing)}; it has {', '.join(columns)}.",
            remedy="Name the columns in the first row, separated by commas.",
        )
    repeated = sorted({name for name in columns if columns.count(name) > 1})
    if repeated:
        raise CohortError(
            "column_repeated",
            f"{path.name} has the column {repeated[0]!r} twice.",
            remedy="Keep one column of each name.",
        )
    return columns
