"""The section as a reader sees it."""

import re
from typing import Any

import pytest

from dgccl.report.checklists import checklist_section
from dgccl.report.checklists.items import GUIDELINES, load_guideline
from dgccl.report.checklists.section import FILLED, HEADER, OPEN, PARTLY
from dgccl.report.page import page_content
from dgccl.report.section import render_template

PLACE = "________ ("
SIMULATED = "All lesions are simulated"


def rows(pair: Any) -> dict[str, tuple[str, ...]]:
    """Rows by their first cells; those of the two guidelines have different ones, as their topics differ."""
    section = checklist_section(pair.run, pair.cohort)
    return {f"{table.title[:6]} {row[0]}": row for table in section.tables for row in table.rows}


def test_counts_of_the_lead_are_those_of_the_tables(pair: Any) -> None:
    section = checklist_section(pair.run, pair.cohort)
    assert section.id == "checklists"
    for name, table in zip(GUIDELINES, section.tables, strict=True):
        guideline = load_guideline(name)
        assert table.header == HEADER
        status = [row[2] for row in table.rows]
        said = (
            f"{guideline.name}: {status.count(FILLED)} of {len(table.rows)} entries filled from the run, "
            f"{status.count(PARTLY)} partly, {status.count(OPEN)} open."
        )
        assert said in section.lead
        assert status.count(FILLED) + status.count(PARTLY) + status.count(OPEN) == len(guideline.items)


def test_what_is_left_has_an_empty_place_with_a_word_on_it(pair: Any) -> None:
    for row in rows(pair).values():
        status, answer = row[2:]
        assert (PLACE in answer) == (status != FILLED), row
        assert "()" not in answer
        assert "None" not in answer
        if status == OPEN:
            assert answer.removeprefix("Not in this run. ").startswith("To be written: ________ (")
        else:
            assert not answer.startswith("To be")


def test_the_evidence_is_on_the_page(phantom: Any) -> None:
    content = page_content(phantom.run, cohort=phantom.cohort)
    titles = {section.title for section in content["sections"]}
    titles |= {table.title for section in content["sections"] for table in section.tables}
    named = {title for row in rows(phantom).values() for title in re.findall("See “([^”]+)”", row[3])}
    assert len(named) > 6
    assert named <= titles


def test_the_section_says_that_it_is_no_judgment_and_whose_lists_these_are(pair: Any) -> None:
    section = checklist_section(pair.run, pair.cohort)
    assert "not a judgment of quality" in section.lead
    notes = [table.note for table in section.tables]
    assert "BMJ 2024;385:e078378" in notes[0]
    assert "Radiol Artif Intell 2024;6(4):e240300" in notes[1]


@pytest.mark.parametrize(
    "entry", ["TRIPOD 23a. Model performance", "CLAIM  38. Diagnostic accuracy", "TRIPOD 24. Model updating"]
)
def test_figures_of_a_phantom_are_labelled_as_such(phantom: Any, whole: Any, entry: str) -> None:
    assert SIMULATED in rows(phantom)[entry][3]
    assert SIMULATED not in rows(whole)[entry][3]
    assert any(SIMULATED in note for note in checklist_section(phantom.run, phantom.cohort).notes)


def test_a_cohort_without_images_is_told_that_claim_is_for_images(tables: Any, whole: Any) -> None:
    assert "CLAIM is a guideline for images" in checklist_section(tables.run, tables.cohort).notes[0]
    assert checklist_section(whole.run, whole.cohort).notes == ()
    assert rows(tables)["CLAIM  10. Subsets of the data"][2] == OPEN
    assert rows(tables)["CLAIM  11. De-identification"][2] == OPEN


def test_what_only_people_know_is_never_filled(pair: Any) -> None:
    found = rows(pair)
    for entry in ("17. Ethical approval", "18a. Funding", "8c. Outcome", "25. Interpretation"):
        assert found[f"TRIPOD {entry}"][2] == OPEN


def test_it_becomes_html(judged: Any, phantom: Any) -> None:
    content = page_content(phantom.run, cohort=phantom.cohort)
    section = checklist_section(judged.run, judged.cohort)
    page = render_template("report.html.j2", **content | {"sections": [section]})
    assert page.count("To be written: ________") == sum(row[2] == OPEN for row in rows(judged).values())
