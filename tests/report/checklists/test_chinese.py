"""The checklists in Chinese: no sentence of any kind of run stays English."""

import re
from collections import Counter
from typing import Any

from dgccl.report.checklists import checklist_section
from dgccl.report.checklists.items import GUIDELINES, load_guideline
from dgccl.report.language import translated
from dgccl.report.language.catalog import NUMBER
from dgccl.report.page import translator_for

ENGLISH = re.compile(r"(?<![\w./`'\u201c^-])[a-z]{3,}(?![\w./`'=-])")
KEPT = {"logit", "torch", "numpy", "cpu", "min", "validation", "tuning"}
"""Words that stand in Chinese, too: names of packages, methods and CLAIM's own terms."""


def test_every_sentence_is_known_and_no_figure_is_lost(pair: Any) -> None:
    translator = translator_for(pair.run, pair.cohort, "zh")
    english = checklist_section(pair.run, pair.cohort)
    chinese = translated(english, translator)
    assert list(translator.missing) == []
    names = KEPT | {*pair.run.class_names, *pair.cohort.lesions.columns}
    for before, after in zip(english.tables, chinese.tables, strict=True):
        for row, other in zip(before.rows, after.rows, strict=True):
            for cell, words in zip(row, other, strict=True):
                assert Counter(NUMBER.findall(cell)) == Counter(NUMBER.findall(words)), (cell, words)
                assert set(ENGLISH.findall(words)) <= names, words


def test_what_only_some_runs_leave_open_is_known(phantom: Any) -> None:
    translator = translator_for(phantom.run, phantom.cohort, "zh")
    for name in GUIDELINES:
        for item in load_guideline(name).items:
            for words in filter(None, (item.topic, item.asks, item.left, item.absent, item.where)):
                assert re.search("[\u3400-\u9fff]", translator.text(words)), words
    assert list(translator.missing) == []
