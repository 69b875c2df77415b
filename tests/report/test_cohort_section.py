"""Flow diagram and table 1 of the report."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from dgccl.report import characteristics
from dgccl.report.flow import flow
from dgccl.report.run_files import read_run
from dgccl.report.sketch import drawn


@pytest.fixture(scope="module")
def run(make_run: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    return make_run(tmp_path_factory.mktemp("flow"), lesions=60, refused=9)


def counts(data: pd.DataFrame, step: str) -> dict[str, int]:
    chosen = data.loc[data["step"] == step]
    return dict(zip(chosen["what"], chosen["n"], strict=True))


def test_the_numbers_of_the_flow_add_up(run: Any) -> None:
    data = flow(read_run(run.folder), run.cohort).data
    lesions = run.cohort.lesions
    refused = sum(counts(data, "refused").values())
    assert refused > 0
    assert counts(data, "found")["patients"] == refused + lesions["patient_id"].nunique()
    taken = counts(data, "taken")
    assert taken.pop("patients") == lesions["patient_id"].nunique()
    assert taken.pop("lesions") == len(lesions)
    assert sum(taken.values()) == len(lesions)  # by images
    assert taken.get("with CT + PET", 0) == int((lesions["has_ct"] & lesions["has_pet"]).sum())
    assert counts(data, "tested")["lesions"] == len(lesions)


def test_a_patient_of_whom_one_lesion_was_taken_was_not_refused(run: Any) -> None:
    """A refusal of a lesion or a series is no refusal of its patient."""
    known = run.cohort.lesions["patient_id"].iloc[0]
    more = pd.DataFrame([[known, "refused", "odd_series", "A series."]], columns=run.cohort.qc.columns[:4])
    cohort = replace(run.cohort, qc=pd.concat([run.cohort.qc, more], ignore_index=True))
    before, after = (flow(read_run(run.folder), each).data for each in (run.cohort, cohort))
    pd.testing.assert_frame_equal(before, after)


def test_many_long_reasons_stay_within_their_box(run: Any) -> None:
    rows = [
        (f"S{n:03d}", "refused", f"a_rather_long_reason_for_refusing_somebody_{n % 9}", "Words.")
        for n in range(45)
    ]
    many = pd.DataFrame(rows, columns=run.cohort.qc.columns[:4])
    cohort = replace(run.cohort, qc=many)
    sketch = flow(read_run(run.folder), cohort)
    assert sum(counts(sketch.data, "refused").values()) == 45
    assert len(counts(sketch.data, "refused")) == 9
    svg = drawn(sketch).svg
    assert ">other reasons: 15<" in svg


def test_table_one_by_fold_sums_to_the_cohort(run: Any) -> None:
    files = read_run(run.folder)
    table = characteristics.by_fold(files, run.cohort)
    rows = {row[0]: row[1:] for row in table.rows}
    assert table.header[1:] == tuple(f"Fold {fold}" for fold in range(5))
    assert sum(map(int, rows["Lesions, n"])) == len(run.cohort.lesions)
    labels = run.cohort.lesions["label"]
    assert sum(map(int, rows["Malignant, n"])) == int((labels == 1).sum())
    whole = {row[0]: row[1:] for row in characteristics.by_class(run.cohort, files.class_names).rows}
    assert whole["Lesions, n"] == (
        str(len(labels)),
        str(int((labels == 0).sum())),
        str(int((labels == 1).sum())),
    )


def test_carried_columns_stand_in_table_one(run: Any) -> None:
    lesions = run.cohort.lesions
    n = len(lesions)
    changed = lesions.assign(
        cea=[f"{value:.1f}" for value in range(n)],
        smoking=["never", "former", ""] * (n // 3),
        note=[f"free text {value}" for value in range(n)],
    )
    manifest = run.cohort.manifest | {"settings": {"clinical": ["cea", "smoking", "note"]}}
    cohort = replace(run.cohort, lesions=changed, manifest=manifest)
    rows = {row[0]: row[1] for row in characteristics.by_class(cohort, ["benign", "malignant"]).rows}
    assert rows["cea"].startswith("29.5 [")
    assert rows["smoking: never"] == f"{n // 3} (33%)"
    assert rows["smoking: not recorded"] == f"{n // 3} (33%)"
    assert rows["note: not recorded"] == "0 (0%)"
