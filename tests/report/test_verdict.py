from typing import Any

import pandas as pd
import pytest

from dgccl.report.run_files import RunFiles
from dgccl.report.verdict import limitations, verdict


def make_run_files(
    *,
    auroc: tuple[float | None, float | None, float | None] = (0.9, 0.85, 0.95),
    difference: tuple[float, float, float] = (0.03, -0.01, 0.07),
    p_holm: float = 0.2,
    drop: tuple[float | None, float | None, float | None] = (0.02, 0.0, 0.04),
    first: str = "dgccl",
    data_kind: str = "real",
    lesions: int = 60,
    class_names: tuple[str, ...] = ("benign", "malignant"),
) -> RunFiles:
    keys = ("estimate", "ci_low", "ci_high")
    model = {
        "auroc": dict(zip(keys, auroc, strict=True)),
        "patterns": {"pet": {"drop": dict(zip(keys, drop, strict=True))}},
    }
    pair: dict[str, Any] = dict(zip(("difference", "ci_low", "ci_high"), difference, strict=True))
    pair |= {"a": first, "b": "late_fusion" if first == "dgccl" else "dgccl", "p_holm": p_holm}
    meta = {
        "n_lesions": lesions,
        "n_patients": 60,
        "n_by_class": dict.fromkeys(class_names, 0) | {class_names[0]: lesions - 20, class_names[1]: 20},
        "data_kind": data_kind,
    }
    results = {"models": {"dgccl": model, "late_fusion": model}, "delong": [pair], "meta": meta}
    empty = pd.DataFrame()
    return RunFiles(results, {"modalities": {"ct": {}, "pet": {}}}, {}, {}, empty, empty)


def said(**changes: Any) -> str:
    return " ".join(verdict(make_run_files(**changes))).replace("\u00a0", " ")


def test_plain_case() -> None:
    words = said()
    assert "AUC of 0.900 (95% interval 0.850 to 0.950), above chance" in words
    assert "difference of AUC +0.030 (95% interval −0.010 to 0.070; Holm-corrected p = 0.200)" in words
    assert "no difference was shown" in words
    assert (
        "With CT missing, the AUC changes by −0.020 (95% interval −0.040 to 0.000), within the allowed"
        in words
    )


@pytest.mark.parametrize(
    ("auroc", "expected"),
    [((0.6, 0.45, 0.75), "includes 0.5"), ((0.6, 0.5, 0.7), "includes 0.5"), ((0.3, 0.2, 0.4), "below chance"),
     ((None, None, None), "not defined"), ((1.0, None, None), "nothing more can be said")],
)  # fmt: skip
def test_discrimination(auroc: tuple, expected: str) -> None:
    words = said(auroc=auroc)
    assert expected in words
    assert "above chance" not in words


def test_difference_is_claimed_only_if_interval_and_correction_allow() -> None:
    assert "is higher on these lesions" in said(difference=(0.05, 0.01, 0.09), p_holm=0.02)
    assert "is lower on these lesions" in said(difference=(-0.05, -0.09, -0.01), p_holm=0.02)
    assert "does not hold after Holm" in said(difference=(0.05, 0.01, 0.09), p_holm=0.06)
    for words in (
        said(),
        said(difference=(0.05, 0.0, 0.1)),
        said(difference=(0.05, 0.01, 0.09), p_holm=0.06),
    ):
        assert "higher" not in words
        assert "lower" not in words


def test_many_comparisons_without_a_difference_share_a_sentence() -> None:
    run = make_run_files()
    (quiet,) = run.results["delong"]
    others = ("late_fusion", "single_ct", "product_of_experts")
    found = quiet | {
        "b": "concatenation",
        "difference": 0.1,
        "ci_low": 0.05,
        "ci_high": 0.15,
        "p_holm": 0.001,
    }
    run.results["delong"] = [*(quiet | {"b": name} for name in others), found]
    words = " ".join(verdict(run))
    assert "DG-CCL against late fusion, CT-only network and product of experts: the interval" in words
    assert "includes zero in all 3 comparisons" in words
    assert words.index("minus concatenation") < words.index("against late fusion")
    assert "The AUC of DG-CCL is higher" in words


def test_a_pair_stored_the_other_way_round_is_turned() -> None:
    words = said(first="late_fusion", difference=(-0.05, -0.09, -0.01), p_holm=0.02)
    assert "DG-CCL minus late fusion: difference of AUC +0.050 (95% interval 0.010 to 0.090" in words
    assert "The AUC of DG-CCL is higher" in words


@pytest.mark.parametrize(
    ("drop", "expected"),
    [((0.02, 0.0, 0.05), "within the allowed"), ((0.02, -0.02, 0.06), "not settled"), ((0.1, 0.06, 0.14), "more than"),
     ((0.02, None, None), "no interval"), ((None, None, None), "not defined"), ((0.0, 0.0, 0.0), "settles nothing")],
)  # fmt: skip
def test_missing_modality(drop: tuple, expected: str) -> None:
    assert expected in said(drop=drop)


def test_more_than_two_classes_have_a_macro_area() -> None:
    names = ("adenocarcinoma", "squamous", "small cell")
    words = said(class_names=names, difference=(0.05, 0.01, 0.09), p_holm=0.02)
    assert "a macro AUC, the mean over the classes of each against the rest, of 0.900" in words
    assert "difference of macro AUC +0.050" in words
    assert "The macro AUC of DG-CCL is higher" in words
    assert "With CT missing, the macro AUC changes by" in words
    limits = " ".join(limitations(make_run_files(class_names=names, lesions=80)))
    assert "80 lesions, 60 adenocarcinoma, 20 squamous and 0 small cell:" in limits
    assert "accuracy" in limits
    assert "malignan" not in words + limits


def test_phantom_is_never_sold_as_patients() -> None:
    assert "simulated" in said(data_kind="phantom")
    assert "simulated" not in said(data_kind="real")
    assert any("phantom" in words for words in limitations(make_run_files(data_kind="phantom")))


def test_several_lesions_of_a_patient_are_a_limitation() -> None:
    assert any("several lesions" in words for words in limitations(make_run_files(lesions=80)))
    assert not any("several lesions" in words for words in limitations(make_run_files(lesions=60)))
