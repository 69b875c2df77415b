"""Translation of finished text: figures survive, what has no entry is named."""

import pytest

from dgccl.errors import ConfigError
from dgccl.report.language import LANGUAGES, Translator, load_catalog, translated
from dgccl.report.language.catalog import read_catalog
from dgccl.report.language.svg import translated_svg
from dgccl.report.style import Drawing
from dgccl.report.tables import Table

PO = """
msgid ""
msgstr "Content-Type: text/plain; charset=UTF-8\\n"

msgid "Verdict"
msgstr "结论"

msgid "benign"
msgstr "良性"

msgid "malignant"
msgstr "恶性"

msgid "late fusion"
msgstr "晚期融合"

msgid "{a} and {b}"
msgstr "{a}和{b}"

msgid "{n_a} to {n_b}"
msgstr "{n_a} 至 {n_b}"

msgid "{n_a} ({interval})"
msgstr "{n_a}（{interval}）"

msgid "The AUC of {model} is {value}."
msgstr "{model}的 AUC 为 {value}。"

msgid "95% intervals by patient."
msgstr "95% 区间按患者计算。"
"""


@pytest.fixture
def translator() -> Translator:
    return Translator(read_catalog(PO, language="zh"), verbatim=["Site Rotterdam"])


def test_words_and_sentences(translator: Translator) -> None:
    assert translator.text("Verdict") == "结论"
    assert translator.text("benign and malignant") == "良性和恶性"
    assert translator.text("The AUC of late fusion is 0.916 (0.902 to 0.930).") == (
        "晚期融合的 AUC 为 0.916（0.902 至 0.930）。"
    )
    assert translator.missing == {}


def test_sentences_are_joined_without_a_space_after_a_full_width_mark(translator: Translator) -> None:
    said = translator.text("The AUC of late fusion is 0.9. 95% intervals by patient.")
    assert said == "晚期融合的 AUC 为 0.9。95% 区间按患者计算。"


@pytest.mark.parametrize("same", ["0.916", "p = 0.012", "DG-CCL", "lesion_0012", "Site Rotterdam", "", "±"])
def test_what_is_no_word_stays(translator: Translator, same: str) -> None:
    assert translator.text(same) == same
    assert translator.missing == {}


def test_what_has_no_entry_stays_in_english_and_is_remembered(translator: Translator) -> None:
    assert translator.text("Verdict of the court") == "Verdict of the court"
    # The sentence matches a pattern, but one of its words has no entry: half a translation is none.
    sentence = "The AUC of early fusion is 0.9."
    assert translator.text(sentence) == sentence
    mixed = translator.text(f"{sentence} 95% intervals by patient.")
    assert mixed == f"{sentence} 95% 区间按患者计算。"
    assert list(translator.missing) == ["Verdict of the court", sentence]


def test_a_number_placeholder_takes_numbers_only() -> None:
    catalog = read_catalog('msgid "{n_a} of {n_b}"\nmsgstr "{n_b} 中的 {n_a}"\n', language="zh")
    translator = Translator(catalog)
    assert translator.text("3 of 1,024") == "1,024 中的 3"
    assert translator.text("\u22120.5 of 12%") == "12% 中的 \u22120.5"
    assert translator.text("three of four") == "three of four"


@pytest.mark.parametrize(
    ("original", "translation", "what"),
    [
        ("{n_a} lesions", "{n_b} 个病灶", "placeholders"),
        ("{n_a} lesions", "病灶", "placeholders"),
        ("95% interval", "90% 区间", "numbers"),
        ("chance (0.5)", "机遇", "numbers"),
    ],
)
def test_a_translation_cannot_change_a_figure(original: str, translation: str, what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        read_catalog(f'msgid "{original}"\nmsgstr "{translation}"\n', language="zh")


def test_a_damaged_catalog_and_an_unknown_language_are_errors() -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_catalog("msgid Verdict", language="zh")
    with pytest.raises(ConfigError, match="Choose one of en, zh"):
        load_catalog("fr")


def test_parts_of_a_page(translator: Translator) -> None:
    table = Table("Verdict", ("", "benign"), (("late fusion", "0.9"),), swatches=("#abcdef",))
    found = translated([table, ("malignant", 3)], translator)
    assert found[0] == Table("结论", ("", "良性"), (("晚期融合", "0.9"),), swatches=("#abcdef",))
    assert found[1] == ("恶性", 3)
    as_stated = translated(
        Table("Verdict", ("benign",), (("name of a key", "value"),), verbatim=True), translator
    )
    assert as_stated.rows == (("name of a key", "value"),)
    assert as_stated.title == "结论"


def test_words_of_a_figure_are_exchanged_where_they_stand(translator: Translator) -> None:
    svg = '<svg><path d="M 0 0"/><text style="font: 9px" x="3">benign</text><text x="1">0.5</text></svg>'
    assert translated_svg(svg, translator) == svg.replace("benign", "良性")
    drawing = translated(Drawing(svg, "Verdict", "95% intervals by patient."), translator)
    assert drawing == Drawing(svg.replace("benign", "良性"), "结论", "95% 区间按患者计算。")


def test_a_figure_says_what_it_shows_in_the_language_of_the_page(translator: Translator) -> None:
    svg = '<svg role="img" aria-label="Verdict"><text>0.5</text></svg>'
    assert translated_svg(svg, translator) == svg.replace("Verdict", "结论")


def test_a_label_of_several_lines_is_translated_as_one() -> None:
    catalog = read_catalog(
        'msgid "each once, by a network that saw neither it nor its patient"\n'
        'msgstr "各测试一次，所用网络既未见过该病灶也未见过该患者"\n\nmsgid "benign"\nmsgstr "良性"\n',
        language="zh",
    )
    svg = (
        "<text>each once, by a network</text><text>  that saw neither it nor</text><text>  its patient</text>"
        "<text>benign</text><text>unknown words</text>"
    )
    translator = Translator(catalog)
    assert translated_svg(svg, translator) == (
        "<text>各测试一次，所用网络既</text><text>未见过该病灶也未见过该</text><text>患者</text><text>良性</text>"
        "<text>unknown words</text>"
    )
    assert list(translator.missing) == ["unknown words"]


def test_kinds_of_placeholders() -> None:
    catalog = read_catalog(
        'msgid "{one_a}-only network"\nmsgstr "仅{one_a}网络"\n\nmsgid "{a} − {b}"\nmsgstr "{a} − {b}"\n\n'
        'msgid "Region {as_name} has no contour."\nmsgstr "区域 {as_name} 没有轮廓线。"\n\n'
        'msgid "Left out: {said_why}"\nmsgstr "排除：{said_why}"\n',
        language="zh",
    )
    translator = Translator(catalog)
    assert translator.text("DG-CCL − CT-only network") == "DG-CCL − 仅 CT 网络"
    assert (
        translator.text("Region 'Mass at the left' has no contour.") == "区域 'Mass at the left' 没有轮廓线。"
    )
    both = "Left out: Region 'a' has no contour. Region 'b' has no contour."
    assert translator.text(both) == "排除：区域 'a' 没有轮廓线。区域 'b' 没有轮廓线。"


def test_long_lists_take_no_time_to_speak_of() -> None:
    catalog = load_catalog("zh")
    names = ["late fusion", "early fusion", "concatenation", "CT-only network"] * 8
    listed = Translator(catalog).text(f"{', '.join(names)} and summed logits")
    assert listed == "、".join(["晚期融合", "早期融合", "特征拼接", "仅 CT 网络"] * 8) + "和 logit 求和"
    figures = "; ".join(f"{name} 0.9 (0.8 to 0.95)" for name in names)
    unknown = Translator(catalog)
    assert unknown.text(f"{figures}; nobody's words") == f"{figures}; nobody's words"
    assert list(unknown.missing) == [f"{figures}; nobody's words"]


def test_placeholders_side_by_side_are_an_error() -> None:
    with pytest.raises(ConfigError, match="side by side"):
        read_catalog('msgid "{a}{b}"\nmsgstr "{b}{a}"\n', language="zh")


def test_every_language_but_english_has_a_catalog_without_a_wrong_number() -> None:
    for language in LANGUAGES:
        if language != "en":
            catalog = load_catalog(language)
            assert catalog.language == language
