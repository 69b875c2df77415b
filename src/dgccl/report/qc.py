"""The decisions of ingestion: what was refused, and why."""

import pandas as pd

from dgccl.cohort import Cohort
from dgccl.report import text
from dgccl.report.tables import Table

LONG_LIST = 12
"""More refusals than this are counted by reason, with the single ones behind a title to open."""


ORDINARY = ("ok", "selected")
"""Codes of decisions that need no reader: a lesion that was taken, a series that was the one to take."""


def decisions(cohort: Cohort) -> tuple[str, list[Table]]:
    """One sentence on the refusals and the tables that list refusals, choices and warnings."""
    qc = cohort.qc
    refused = qc.loc[qc["status"] == "refused"]
    others = qc.loc[(qc["status"] != "refused") & ~qc["code"].isin(ORDINARY)]
    tables = []
    if len(refused) > LONG_LIST:
        tables.append(_counts(refused["code"], "Refused at ingestion, by reason", of="Entries, n"))
        tables.append(_single(refused, f"Every refusal ({len(refused)})", folded=True))
    elif len(refused):
        tables.append(_single(refused, "Refused at ingestion", folded=False))
    warnings = cohort.lesions["qc"].str.split(";").explode()
    if (warnings != "").any():
        tables.append(
            _counts(warnings.loc[warnings != ""], "Warnings on lesions that were taken", of="Lesions, n")
        )
    if len(others):
        tables.append(_single(others, f"Other decisions of ingestion ({len(others)})", folded=True))
    if cohort.is_table:
        return "The lesions are rows of a table: nothing was ingested, and nobody refused.", tables
    if refused.empty:
        return "Ingestion refused no patient.", tables
    patients = refused["study_code"].nunique()
    return (
        f"Ingestion refused {text.count(patients, 'patient')} ({text.count(len(refused), 'reason')}).",
        tables,
    )


def _counts(codes: pd.Series, title: str, *, of: str) -> Table:
    counts = codes.value_counts().sort_index().sort_values(ascending=False, kind="stable")
    return Table(title, ("Reason code", of), tuple((str(code), str(n)) for code, n in counts.items()))


def _single(table: pd.DataFrame, title: str, *, folded: bool) -> Table:
    columns = list(table.columns)
    header = tuple(name.replace("_", " ").capitalize() for name in columns)
    rows = tuple(tuple(str(cell) for cell in row) for row in table[columns].itertuples(index=False))
    return Table(title, header, rows, folded=folded, words=True)
