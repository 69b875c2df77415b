"""Whole pages in Chinese: nothing that is language stays English, and no figure is lost."""

import html
import re
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from dgccl.errors import ConfigError
from dgccl.evaluation import evaluate
from dgccl.report.language import Translator, load_catalog, translated
from dgccl.report.language.catalog import NUMBER, read_catalog
from dgccl.report.page import page_content, translator_for
from dgccl.report.run_files import read_run
from dgccl.report.sketch import drawn
from dgccl.report.stress_section import stress_section
from dgccl.report.style import model_lines
from dgccl.robustness.dials import DIALS

INVENTED = {"3 slices are missing between 10 and 16 mm.", "The thinnest of 2 CT series was taken."}
"""Messages that the made cohort puts into its decisions; ingestion has others."""


class Recorder(Translator):
    """A translator that keeps every string beside what became of it."""

    def __init__(self, other: Translator) -> None:
        self.__dict__.update(other.__dict__)
        self.pairs: dict[str, str] = {}

    def text(self, english: str) -> str:
        self.pairs[english] = super().text(english)
        return self.pairs[english]


def strings_of(made: Any) -> Recorder:
    """The strings of a run's page with their translations; commands and folders are names."""
    run = read_run(made.folder)
    translator = Recorder(translator_for(run, made.cohort, "zh"))
    content = page_content(run, cohort=made.cohort)
    translated(content, translator)
    translated([drawn(sketch) for section in content["sections"] for sketch in section.sketches], translator)
    for name in {str(run.run["command"]), made.cohort.folder.name, *INVENTED}:
        translator.missing.pop(name, None)
    return translator


ENGLISH = re.compile(r"(?<![\w./`'\u201c-])[a-z]{3,}(?![\w./`'=-])")
TERMS = {
    "logit", "mm", "min", "label", "settings", "model", "smoking", "spiculation", "lobe", "emphysema", "torch", "numpy",
    "cpu", "validation", "tuning",
}  # fmt: skip
"""Words that are written so in Chinese, too, or that are names of columns, of settings and of packages."""
CITED = re.compile("BMJ 2024|Radiol Artif Intell 2024")
"""Sources of the checklists, whose titles stay as they are."""


def words_left(found: Recorder, names: Iterable[str]) -> set[str]:
    """English words in what was translated, but for names."""
    known = TERMS | {word for name in names for word in re.split(r"\W+", name)}
    changed = [
        chinese
        for english, chinese in found.pairs.items()
        if chinese != english and not CITED.search(english)
    ]
    return {word for chinese in changed for word in ENGLISH.findall(chinese)} - known


def check(found: Recorder, *names: str) -> None:
    assert list(found.missing) == []
    assert words_left(found, names) == set()
    assert len(found.pairs) > 300
    for english, chinese in found.pairs.items():
        assert Counter(NUMBER.findall(english)) == Counter(NUMBER.findall(chinese)), (english, chinese)


ALL_MODELS = (
    "dgccl", "gated_residual", "early_fusion", "late_fusion", "summed_logits", "concatenation", "cross_attention",
    "product_of_experts", "single_ct", "single_pet",
)  # fmt: skip


def test_two_classes_on_a_phantom(made: Any) -> None:
    check(strings_of(made))


def test_many_models(make_run: Callable[..., Any], tmp_path: Path) -> None:
    check(strings_of(make_run(tmp_path, models=ALL_MODELS)))


def test_three_classes(make_run: Callable[..., Any], tmp_path: Path) -> None:
    names = ("granuloma", "adenocarcinoma", "carcinoid")
    made = make_run(tmp_path, lesions=90, models=("dgccl", "late_fusion", "single_ct"), class_names=names)
    found = strings_of(made)
    check(found, *names)
    assert found.pairs["Called carcinoid"] == "判为 carcinoid"


def test_patients_of_several_sites(make_run: Callable[..., Any], tmp_path: Path) -> None:
    made = make_run(tmp_path, lesions=120, data_kind="real", site="Erasmus MC, Rotterdam", refused=20)
    found = strings_of(made)
    check(found)
    assert found.pairs["Site: Erasmus MC, Rotterdam"] == "中心：Erasmus MC, Rotterdam"


def test_too_few_lesions_for_most_figures(make_run: Callable[..., Any], tmp_path: Path) -> None:
    check(strings_of(make_run(tmp_path, lesions=14, models=("dgccl", "late_fusion", "single_ct"))))


def test_published_nodule_models(make_run: Callable[..., Any], tmp_path: Path) -> None:
    made = make_run(tmp_path, models=("dgccl",))
    columns = {"smoking": "never", "cancer_history": "no", "lobe": "upper"}
    lesions = made.cohort.lesions.assign(**columns)
    spiculated = pd.Series(["yes", "no"] * len(lesions), dtype="str").head(len(lesions)).to_numpy()
    evaluate(made.folder, lesions=lesions.assign(spiculation=spiculated))
    found = strings_of(made)
    check(found)
    assert any("fdg_uptake或suv_blood_pool" in chinese.replace(" ", "") for chinese in found.pairs.values())


def test_stress_test() -> None:
    dials = [
        {
            "dial": dial.name, "title": dial.title, "unit": dial.unit, "meaning": dial.meaning, "notes": [],
            "steps": [
                {
                    "amount": amount, "gate_weights": {"ct": 0.6, "pet": 0.4}, "calls_changed": 0.1,
                    **{key: {"estimate": 0.8, "ci_low": 0.7, "ci_high": 0.9} for key in ("auroc", "change", "slope")},
                }
                for amount in dial.amounts
            ],
            "tolerances": [
                {"direction": way, "amount": own, "ci_low": 0.72, "ci_high": None, "largest": end, "sure_until": own}
                for way, end in (("up", max(dial.amounts)), ("down", min(dial.amounts)))
                for own in (None, 0.9)
            ],
        }
        for dial in DIALS
    ]  # fmt: skip
    stress = {
        "meta": {"loss": 0.02, "replicates": 500, "seed": 2026},
        "models": {"dgccl": dials},
        "not_applicable": {"missing_pet": "No lesion was scored without pet."},
        "warnings": ["No dial but the outline's changes the images without a scale: mr."],
    }
    translator = Recorder(Translator(load_catalog("zh")))
    section = translated(stress_section(stress, model_lines(["dgccl"])), translator)
    translated([drawn(sketch) for sketch in section.sketches], translator)
    assert list(translator.missing) == []
    assert words_left(translator, ()) == set()
    assert translator.pairs["SUV error, downward"] == "SUV 误差，向下"


def test_the_figure_of_the_flow_is_put_together_again(made: Any) -> None:
    run = read_run(made.folder)
    content = page_content(run, cohort=made.cohort)
    flow = next(s for section in content["sections"] for s in section.sketches if s.name == "flow")
    svg = translated(drawn(flow), translator_for(run, made.cohort, "zh")).svg
    words = [html.unescape(line) for line in re.findall(r"<text\b[^>]*>([^<]*)</text>", svg)]
    assert "各测试一次，所用网络既未见过该病灶也未见过该患者" in "".join(words)
    assert not [line for line in words if re.search("[a-z]{4}", line)]


@pytest.mark.parametrize(
    ("english", "chinese"),
    [
        (
            "On 60 test lesions of 52 patients, late fusion reached an AUC of 0.912 (95% interval 0.830 to 0.956), "
            "above chance (0.5).",
            "在 52 名患者的 60 个测试病灶上，晚期融合的 AUC 为 0.912（95% 置信区间：0.830 至 0.956），"
            "高于随机水平（0.5）。",
        ),
        ("DG-CCL, CT and MR missing", "DG-CCL，CT 和 MR 缺失"),
        ("DG-CCL − CT-only network", "DG-CCL − 仅 CT 网络"),
        ("40 benign and 20 malignant", "40 个良性和 20 个恶性"),
        ("Early fusion, late fusion, concatenation and CT-only network", "早期融合、晚期融合、特征拼接和仅 CT 网络"),
        (
            "PT series 2 of 3 (75 images): Left out: another series has a smaller slice spacing.",
            "PT 序列 2/3（75 幅图像）：排除：另一个序列的层间距更小。",
        ),
        (
            "Outline 'Mass at the left': Region 'Mass at the left' has no contour. Redraw the outline or delete it.",
            "轮廓 'Mass at the left'：区域 'Mass at the left' 没有轮廓线。请重新勾画或删除该轮廓。",
        ),
        (
            "12 slices are missing in 2 gaps of a stack spaced 1.25 mm. Export the whole series again.",
            "层间距为 1.25 mm 的序列在 2 处缺口共缺少 12 层。请重新导出整个序列。",
        ),
    ],
)  # fmt: skip
def test_sentences(english: str, chinese: str) -> None:
    assert Translator(load_catalog("zh")).text(english) == chinese


def test_two_entries_for_one_sentence_are_an_error() -> None:
    once = 'msgid "Verdict"\nmsgstr "结论"\n\n'
    assert read_catalog(once, language="zh").exact == {"Verdict": "结论"}
    with pytest.raises(ConfigError, match=r"more than one entry for \"Verdict\""):
        read_catalog(once + once, language="zh")
