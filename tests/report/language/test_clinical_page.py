"""The page of a run beside all three published nodule models, in Chinese."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from dgccl.evaluation import evaluate

from ..test_clinical_section import with_predictors
from .test_pages import check, strings_of


def test_all_published_models(make_run: Callable[..., Any], tmp_path: Path) -> None:
    made = make_run(tmp_path, lesions=120, models=("dgccl",))
    evaluate(made.folder, lesions=with_predictors(made.cohort.lesions))
    found = strings_of(made)
    check(found)
    assert found.pairs["DG-CCL, on the same lesions"] == "DG-CCL，相同病灶"
