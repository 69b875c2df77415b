"""The report of more than two classes, and of every model that there is."""

import re
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dgccl.clinical import COMPARATORS
from dgccl.config import FUSION_MODELS
from dgccl.report import text, write_report
from dgccl.report.gallery import build_gallery
from dgccl.report.run_files import read_run
from dgccl.report.style import CLASS_STYLES, MODEL_LINES, class_styles, model_lines

from .test_report import Page, shown

NAMES = ("adenocarcinoma", "squamous <cell> carcinoma", "benign")
MODELS = (*FUSION_MODELS, "single_ct", "single_pet")

DEFICIENCIES = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.01182, 0.04294, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.3039],
    ],
}
"""Linear RGB as it is seen; Machado, Oliveira and Fernandes, IEEE Trans Vis Comput Graph 15 (2009) 1291-1298."""


def linear_rgb(color: str) -> np.ndarray:
    values = np.array([int(color[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def cielab(linear: np.ndarray) -> np.ndarray:
    to_xyz = np.array(
        [
            [0.4124564, 0.3575761, 0.1804375],
            [0.2126729, 0.7151522, 0.072175],
            [0.0193339, 0.119192, 0.9503041],
        ]
    )
    xyz = to_xyz @ np.clip(linear, 0, 1) / np.array([0.95047, 1.0, 1.08883])
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("seen", DEFICIENCIES)
def test_colors_of_models_can_be_told_apart(seen: str) -> None:
    matrix = np.array(DEFICIENCIES[seen])
    found = {name: cielab(matrix @ linear_rgb(color)) for name, (color, _, _) in MODEL_LINES.items()}
    for a, b in combinations(found, 2):
        assert np.linalg.norm(found[a] - found[b]) >= 18, (a, b)


def test_every_model_has_a_name_a_color_a_dash_and_a_marker_of_its_own() -> None:
    assert {*MODELS, *(comparator.name for comparator in COMPARATORS)} == set(MODEL_LINES)
    for place in range(3):
        assert len({str(line[place]) for line in MODEL_LINES.values()}) == len(MODEL_LINES)
    for color, _, _ in MODEL_LINES.values():
        assert 1.05 / (linear_rgb(color) @ [0.2126, 0.7152, 0.0722] + 0.05) >= 2.9
    assert len({text.model_words(name) for name in MODEL_LINES}) == len(MODEL_LINES)
    assert text.model_name("single_pet") == "PET-only network"
    assert text.model_name("product_of_experts") == "Product of experts"
    alone, among = model_lines(["single_ct"]), model_lines(["single_mr", "other", *MODELS])
    assert alone["single_ct"] == among["single_ct"]
    assert among["single_mr"] != among["other"]


def test_classes_beyond_the_palette_get_another_marker() -> None:
    styles = class_styles([f"class {index}" for index in range(2 * len(CLASS_STYLES))])
    assert len({(kind.color, kind.marker) for kind in styles}) == len(styles)
    assert [kind.css for kind in styles[:2]] == ["class-0", "class-1"]


@pytest.fixture(scope="module")
def many(make_run: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    return make_run(tmp_path_factory.mktemp("many"), lesions=75, models=MODELS, class_names=NAMES)


@pytest.fixture(scope="module")
def page(many: Any) -> Page:
    return Page(write_report(many.folder, cohort=many.cohort).read_text(encoding="utf-8"))


def test_every_figure_of_every_class_is_in_the_text(many: Any, page: Page) -> None:
    results = read_run(many.folder).results
    for name, model in results["models"].items():
        figures = [model["auroc"], model["multiclass"]["accuracy"]]
        for entry in model["multiclass"]["by_class"].values():
            figures += [entry["auroc"], entry["sensitivity"], entry["specificity"]]
        for pattern in model["patterns"].values():
            figures += [pattern["auroc"], pattern["drop"]]
        for figure in figures:
            words = f"{shown(figure['estimate'])} ({shown(figure['ci_low'])} to {shown(figure['ci_high'])})"
            assert words in page.text, name
        for row in model["multiclass"]["confusion"]:
            assert " ".join(map(str, [*row, sum(row)])) in page.text
        assert text.model_name(name) in page.text
    assert re.search(r"Kruskal-Wallis statistic of the PET weight \d", page.text)
    assert results["published_note"] in page.text


def test_the_head_and_the_sections_name_the_classes(page: Page) -> None:
    assert "DG-CCL on CT and PET: adenocarcinoma, squamous <cell> carcinoma or benign" in page.text
    assert "25 adenocarcinoma, 25 squamous <cell> carcinoma and 25 benign" in page.text
    assert "0 is adenocarcinoma, 1 is squamous <cell> carcinoma and 2 is benign" in page.text
    assert "Worst mistakes: squamous <cell> carcinoma, called otherwise" in page.text
    assert "reached a macro AUC, the mean over the classes" in page.text
    labels = [svg["aria-label"] or "" for svg in page.attributes("svg")]
    assert sum(label.startswith("ROC curves of DG-CCL, each class against the rest") for label in labels) == 1
    assert sum(label.startswith("Confusion matrix of DG-CCL") for label in labels) == 1
    assert "malignan" not in page.text.replace(
        "benign and malignant", ""
    )  # the note on the published figures


def test_a_model_of_one_modality_is_shown_with_what_it_can_judge(page: Page) -> None:
    assert "All models, each on the lesions that it can judge" in page.text
    assert "PET-only network judges 74 of 75 lesions" in page.text
    assert "CT-only network, CT missing" not in page.text
    assert "CT-only network, PET missing" in page.text


def test_lesions_are_called_by_the_highest_probability(many: Any) -> None:
    run = read_run(many.folder)
    rows = run.test_rows("dgccl")
    groups = build_gallery(
        many.cohort, rows, [], modalities=["ct", "pet"], classes=class_styles(run.class_names), per_group=2
    )
    scores = rows[["y_score_0", "y_score_1", "y_score_2"]].to_numpy()
    right = scores.argmax(axis=1) == rows["y_true"]
    assert len(groups) == 6
    for index in range(3):
        of_class = rows["y_true"] == index
        best = rows.loc[of_class & right].nlargest(2, f"y_score_{index}")["lesion_id"].tolist()
        worst = rows.loc[of_class & ~right].nsmallest(2, f"y_score_{index}")["lesion_id"].tolist()
        assert [case.lesion_id for case in groups[index].cases] == best
        assert [case.lesion_id for case in groups[3 + index].cases] == worst
        assert all(dict(case.facts)["Called"] == NAMES[index] for case in groups[index].cases)
        assert all(dict(case.facts)["Called"] != NAMES[index] for case in groups[3 + index].cases)


def test_two_classes_of_other_names(make_run: Callable[..., Any], tmp_path: Path) -> None:
    names = ("no metastasis", "metastasis")
    made = make_run(tmp_path, lesions=40, models=MODELS, class_names=names)
    page = Page(write_report(made.folder, cohort=made.cohort).read_text(encoding="utf-8"))
    assert "Metastasis, called no metastasis" in page.text
    assert "(score: probability of metastasis)" in page.text
    assert "Median PET gate weight in malignant lesions not measured in this run 0.67" in page.text
