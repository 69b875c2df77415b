"""The decisions of ingestion: what was refused, and why."""

import pandas as pd

from dgccl.cohort import Cohort
from dgccl.report import text
from dgccl.report.tables import Table

LONG_LIST = 12
"""More refusals than this are counted by reason, with the single ones behind a title to open."""


def decisions(cohort: Cohort) -> tuple[str, list[Table]]:
    """One sentence on the refusals and the tables that list them."""
    qc = cohort.qc
    refused = qc.loc[qc["status"] == "refused"]
    others = qc.loc[(qc["status"] != "refused") & (qc["code"] != "ok")]
    tables = []
    if len(refused) > LONG_LIST:
        tables.append(_counts(refused, "Refused at ingestion, by reason"))
        tables.append(_single(refused, f"Every refusal ({len(refused)})", folded=True))
    elif len(refused):
        tables.append(_single(refused, "Refused at ingestion", folded=False))
    if len(others):
        tables.append(_single(others, f"Warnings and choices of ingestion ({len(others)})", folded=True))
    if refused.empty:
        return "Ingestion refused nothing.", tables
    patients = refused["study_code"].nunique()
    entries = text.count(len(refused), "entry", plural="entries")
    return f"Ingestion refused {entries} of {text.count(patients, 'patient')}.", tables


def _counts(table: pd.DataFrame, title: str) -> Table:
    counts = table["code"].value_counts().sort_index().sort_values(ascending=False, kind="stable")
    rows = tuple((str(code), str(n)) for code, n in counts.items())
    return Table(title, ("Reason code", "Entries, n"), rows)


def _single(table: pd.DataFrame, title: str, *, folded: bool) -> Table:
    columns = [name for name in table.columns if name != "status"]
    header = tuple(name.replace("_", " ").capitalize() for name in columns)
    rows = tuple(tuple(str(cell) for cell in row) for row in table[columns].itertuples(index=False))
    return Table(title, header, rows, folded=folded, words=True)
