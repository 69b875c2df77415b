"""The entries of the reporting guidelines: what each asks, what of it a run can answer, what is left to people."""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources

GUIDELINES = ("tripod_ai", "claim_2024")
"""Files of the guidelines, in the order of the page."""


@dataclass(frozen=True)
class Item:
    """One entry of a guideline.

    Attributes:
        number: as the guideline counts, such as `3a`.
        topic: its heading.
        asks: what is asked, in our own words.
        answer: key of `answers.ANSWERS`; empty where only people can answer.
        left: what people must write; with an answer, what they must add to it.
        absent: what people must write where a run has nothing for the answer.
        where: title of the page's section that holds the evidence.
    """

    number: str
    topic: str
    asks: str
    answer: str = ""
    left: str = ""
    absent: str = ""
    where: str = ""

    @property
    def main_number(self) -> int:
        """Number of the item that the entry belongs to: 3 for `3a`."""
        return int(re.match(r"\d+", self.number)[0])  # type: ignore[index]


@dataclass(frozen=True)
class Guideline:
    """A guideline's checklist.

    Attributes:
        name: short, as the lead counts it.
        title: of its table.
        main_items: how many items the guideline has; entries such as 3a and 3b belong to one.
        note: the paper, and how to read the table.
        items: all entries in the guideline's order.
    """

    name: str
    title: str
    main_items: int
    note: str
    items: tuple[Item, ...]


@cache
def load_guideline(name: str) -> Guideline:
    """Read one of `GUIDELINES`.

    Args:
        name: of its file, without the ending.

    Source: Collins et al., BMJ 2024;385:e078378; Tejani et al., Radiol Artif Intell 2024;6(4):e240300.
    """
    text = resources.files(__package__).joinpath(f"{name}.toml").read_text(encoding="utf-8")
    content = tomllib.loads(text)
    items = tuple(Item(**entry) for entry in content.pop("items"))
    return Guideline(**content, items=items)
