"""The entries of the guidelines: how many there are, and that each can be answered or is left to people."""

import re
from collections import Counter
from itertools import groupby

import pytest

from dgccl.report.checklists.answers import ANSWERS
from dgccl.report.checklists.items import GUIDELINES, load_guideline

LONGEST_ASKS = 15


def numbers(name: str) -> list[str]:
    return [item.number for item in load_guideline(name).items]


@pytest.mark.parametrize(("name", "main_items", "entries"), [("tripod_ai", 27, 52), ("claim_2024", 44, 44)])
def test_every_item_of_the_guideline_is_there_once_and_in_order(
    name: str, main_items: int, entries: int
) -> None:
    guideline = load_guideline(name)
    assert guideline.main_items == main_items
    assert len(guideline.items) == len(set(numbers(name))) == entries
    mains = [item.main_number for item in guideline.items]
    assert sorted(set(mains)) == list(range(1, main_items + 1))
    assert mains == sorted(mains)


def test_parts_of_the_items_of_tripod_ai() -> None:
    """How many lettered parts each item has; the others have none."""
    found = Counter(re.match(r"\d+", number)[0] for number in numbers("tripod_ai"))  # type: ignore[index]
    several = {int(number): n for number, n in found.items() if n > 1}
    assert several == {3: 3, 5: 2, 6: 3, 8: 3, 9: 3, 12: 7, 18: 6, 20: 3, 23: 2, 27: 3}
    for _, group in groupby(numbers("tripod_ai"), key=lambda number: re.match(r"\d+", number)[0]):  # type: ignore[index]
        letters = "".join(re.sub(r"\d+", "", number) for number in group)
        assert letters in ("", "abcdefg"[: len(letters)])


def test_some_entries_stand_where_the_guidelines_have_them() -> None:
    topics = {name: {item.number: item.topic for item in load_guideline(name).items} for name in GUIDELINES}
    tripod = {
        "3a": "Background",
        "11": "Missing data",
        "14": "Fairness",
        "18f": "Code sharing",
        "24": "Model updating",
    }
    claim = {
        "11": "De-identification",
        "20": "Disjoint partitions",
        "33": "External testing",
        "44": "Funding",
    }
    assert tripod.items() <= topics["tripod_ai"].items()
    assert claim.items() <= topics["claim_2024"].items()


@pytest.mark.parametrize("name", GUIDELINES)
def test_every_entry_is_answered_by_a_function_or_left_to_people(name: str) -> None:
    for item in load_guideline(name).items:
        assert item.answer in ANSWERS if item.answer else item.left, item.number
        assert item.answer or not (item.absent or item.where), item.number
        assert len(item.asks.split()) <= LONGEST_ASKS, item.number
        assert item.asks.endswith(".")
        assert not item.left.endswith(".")


def test_no_answer_is_idle() -> None:
    asked = {item.answer for name in GUIDELINES for item in load_guideline(name).items}
    assert asked - {""} == set(ANSWERS)
