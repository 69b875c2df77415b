"""Anyone's predictions: a table with a label and one score or more a case, checked and ready for the statistics."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int64, Shaped

from dgccl.csv_table import MISSING, read_csv_table
from dgccl.errors import CohortError

PARQUET = {".parquet", ".pq"}
TRUTH = {"true": 1, "false": 0}

_WHOLE = re.compile(r"([+-]?\d+)\.0+")


@dataclass(frozen=True, eq=False)
class ScoreTable:
    """Labels and scores of n cases.

    Attributes:
        file: name of the table, without its folder.
        sha256: hash of the file.
        label: name of the label's column.
        positive: what stands there for class 1.
        y_true: labels 0 or 1, (n,).
        scores: by name, higher for class 1, (n,) each.
        cluster: column and values of the clusters (patients), or None.
        site: column and values of the sites, or None.
        dropped: cases of the file that lack a label or a score and were left out.
    """

    file: str
    sha256: str
    label: str
    positive: str
    y_true: Int64[np.ndarray, "n"]
    scores: dict[str, Float64[np.ndarray, "n"]]
    cluster: tuple[str, Shaped[np.ndarray, "n"]] | None
    site: tuple[str, Shaped[np.ndarray, "n"]] | None
    dropped: int


def read_score_table(
    path: Path,
    *,
    label: str,
    scores: Sequence[str],
    cluster: str | None = None,
    site: str | None = None,
    positive: str | None = None,
    drop_missing: bool = False,
) -> ScoreTable:
    """Read a table of predictions, CSV or Parquet.

    Args:
        path: the file; `.parquet` and `.pq` are Parquet, all else is CSV (commas, semicolons or tabs).
        label: column of the labels, 0 and 1, or words if `positive` is given.
        scores: columns of the scores, higher for class 1.
        cluster: column of the patient (or another cluster) of each case.
        site: column of the site of each case.
        positive: what stands in the label's column for class 1; anything else there is class 0, of one kind.
        drop_missing: leave out cases that lack the label or any score, instead of refusing the table.

    Raises:
        CohortError: `table_not_found`, `table_unreadable`, `column_missing`, `column_repeated`, `score_repeated`,
            `no_cases`, `value_missing`, `score_not_number`, `labels_not_binary`, `cluster_missing`, `site_missing`,
            `cluster_rounded`, `site_rounded`.
    """
    _check_names(label, scores, cluster, site)
    needed = (label, *scores, *(name for name in (cluster, site) if name is not None))
    words = {name for name in (label, cluster, site) if name is not None}
    table = _read(path, needed, words, ids=tuple(words - {label}))
    lacking = table[[label, *scores]].isna()
    incomplete = lacking.any(axis=1)
    if incomplete.any() and not drop_missing:
        where = ", ".join(f"{name} ({count})" for name, count in lacking.sum().items() if count)
        raise CohortError(
            "value_missing",
            f"{int(incomplete.sum())} of {len(table)} cases of {path.name} lack a value: {where}.",
            remedy="Complete them, or leave these cases out with --drop-missing.",
        )
    table = table.loc[~incomplete]
    if table.empty:
        raise CohortError("no_cases", f"{path.name} has no case with a label and every score.")
    return ScoreTable(
        path.name,
        hashlib.sha256(path.read_bytes()).hexdigest(),
        label,
        "1" if positive is None else positive,
        _labels(table[label], path.name, positive),
        {name: _numbers(table[name], path.name) for name in scores},
        None if cluster is None else (cluster, _ids(table[cluster], "cluster", path.name)),
        None if site is None else (site, _ids(table[site], "site", path.name)),
        int(incomplete.sum()),
    )


def _check_names(label: str, scores: Sequence[str], cluster: str | None, site: str | None) -> None:
    if not scores:
        raise CohortError("no_score", "No score was named.", remedy="Name a column with --score.")
    names = [label, *scores]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise CohortError(
            "score_repeated",
            f"The column {repeated[0]!r} is named more than once.",
            remedy="Name the label and every score once.",
        )
    if {cluster, site} & set(scores):
        raise CohortError("score_repeated", "A score's column is also named as the cluster or the site.")


def _read(path: Path, needed: tuple[str, ...], words: set[str], *, ids: tuple[str, ...]) -> pd.DataFrame:
    """The needed columns; in columns of words a missing entry is NA, others hold numbers or words yet."""
    if path.suffix.lower() not in PARQUET:
        table = read_csv_table(path, needed=needed, known=ids)[list(dict.fromkeys(needed))]
        return table.mask(table.apply(lambda column: column.str.lower().isin(MISSING)))
    if not path.is_file():
        raise CohortError(
            "table_not_found", f"There is no file {path.name}.", remedy="Check the path of the table."
        )
    try:
        # Whole numbers with gaps stay whole numbers: as floats, ids of more than 15 digits would run together.
        table = pd.read_parquet(path, dtype_backend="numpy_nullable")
    except (OSError, ValueError) as error:  # pyarrow's errors are among these
        raise CohortError("table_unreadable", f"{path.name} cannot be read as Parquet.") from error
    missing = [name for name in needed if name not in table.columns]
    if missing:
        raise CohortError(
            "column_missing",
            f"{path.name} lacks the column {', '.join(missing)}; it has {', '.join(map(str, table.columns))}.",
        )
    table = table[list(dict.fromkeys(needed))]
    floats = [name for name in table.columns if pd.api.types.is_float_dtype(table[name])]
    table = table.astype(
        {name: table[name].dtype.name.lower() for name in floats}
    )  # a NaN then counts as missing
    for name in words & set(table.columns):
        if isinstance(table[name].dtype, pd.CategoricalDtype):
            table = table.assign(**{name: table[name].astype("object")})
    return table


def _labels(column: pd.Series, file: str, positive: str | None) -> Int64[np.ndarray, "n"]:
    """0 and 1; with `positive`, that word against the one other that is there."""
    if positive is not None:
        found, wanted = column.map(_label), _label(positive)
        others = sorted(set(found) - {wanted})
        if wanted not in set(found) or len(others) > 1:
            raise CohortError(
                "labels_not_binary",
                f"The column {column.name!r} of {file} holds {_listed(found)}; expected {positive!r} and one other.",
                remedy="Name with --positive what stands for class 1; keep cases of two classes.",
            )
        return (found == wanted).to_numpy(np.int64)
    words = column.astype("object").map(lambda value: TRUTH.get(str(value).strip().lower(), value))
    numbers = pd.to_numeric(words, errors="coerce")
    if not numbers.isin([0, 1]).all():
        raise CohortError(
            "labels_not_binary",
            f"The column {column.name!r} of {file} holds {_listed(column.map(_label))}; expected 0 and 1.",
            remedy="Code the classes as 0 and 1, or name with --positive what stands for class 1.",
        )
    return numbers.to_numpy(np.int64)


def _label(value: object) -> str:
    """A label as it would be typed: 1.0, as a column with gaps stores a 1, is `1`, and so is what is true."""
    word = _word(value)
    whole = _WHOLE.fullmatch(word)
    return whole[1] if whole else word


def _word(value: object) -> str:
    """An entry as it stands, so that `007`, `7` and `7e0` are three patients; only a stored float is told as a whole
    number where it is one, and a stored truth as 0 or 1."""
    if isinstance(value, bool | np.bool_):
        return str(int(value))
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value).strip()


def _listed(words: pd.Series) -> str:
    """The distinct entries of a column, a few of them."""
    distinct = sorted(set(words))
    return ", ".join(map(repr, distinct[:4])) + (
        f" and {len(distinct) - 4} more" if len(distinct) > 4 else ""
    )


def _numbers(column: pd.Series, file: str) -> Float64[np.ndarray, "n"]:
    dated = pd.api.types.is_datetime64_any_dtype(column) or pd.api.types.is_timedelta64_dtype(column)
    if dated:
        raise CohortError(
            "score_not_number", f"The column {column.name!r} of {file} holds dates or times, no score."
        )
    numbers = pd.to_numeric(column, errors="coerce")
    bad = numbers.isna()
    if bad.any():
        raise CohortError(
            "score_not_number",
            f"{int(bad.sum())} of the {len(column)} entries of {column.name!r} in {file} are no numbers.",
            remedy="A score is one number a case, higher for class 1.",
        )
    return numbers.to_numpy(np.float64)


def _ids(column: pd.Series, role: str, file: str) -> Shaped[np.ndarray, "n"]:
    lacking = int(column.isna().sum())
    if lacking:
        raise CohortError(
            f"{role}_missing",
            f"{lacking} of the {len(column)} cases have no entry in {column.name!r} of {file}.",
            remedy=f"Give every case its {role}, or leave --{role} out.",
        )
    if pd.api.types.is_float_dtype(column):
        values = column.to_numpy()
        rounded = int((np.abs(values) >= 2.0 ** (np.finfo(values.dtype).nmant + 1)).sum())
        if rounded:
            raise CohortError(
                f"{role}_rounded",
                f"{rounded} entries of {column.name!r} in {file} are floating-point numbers of too many digits: ids "
                "that differ may have been rounded to one.",
                remedy="Store the ids as text or as whole numbers.",
            )
    return column.map(_word).to_numpy(str)
