"""Sentences and what they are in another language, with placeholders for what varies."""

import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources

from babel.messages.pofile import PoFileError, read_po

from dgccl.errors import ConfigError

LANGUAGES = {"en": "en", "zh": "zh-Hans"}
"""Languages of the report, and what a page says of itself (BCP 47)."""

PLACEHOLDER = re.compile(r"\{([a-z_0-9]+)\}")
AS_IS, ONE_WORD, NUMERIC, SEVERAL = "as_", "one_", "n_", "said_"
"""Beginnings of placeholders: names and words of others, which stay as they are; one word; a number; one sentence or
several. All others stand for words within a sentence."""
SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z0-9\u201c(])")
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_NUMERIC = r"[+\-\u2212]?\d[\d,.]*\d%?|[+\-\u2212]?\d%?"
_NUMBER_ONLY = re.compile(_NUMERIC)
_NUMBER_BEGUN = re.compile(r"[+\-\u2212]?[\d,.]*%?")


@dataclass(frozen=True)
class Pattern:
    """A sentence with placeholders, and its translation.

    Attributes:
        pieces: its fixed parts: before, between and after the placeholders; one more than `names`.
        names: its placeholders in their order.
        translation: with the same placeholders.
        longest: the longest of the fixed parts, without which nothing matches.
        literal: how many of its characters are fixed; the more, the surer a match.
    """

    pieces: tuple[str, ...]
    names: tuple[str, ...]
    translation: str
    longest: str
    literal: int

    def readings(self, text: str) -> Iterator[dict[str, str]]:
        """What may stand for the placeholders, every way to read the text in turn; parentheses stay together."""
        first, last = self.pieces[0], self.pieces[-1]
        if self.longest in text and text.startswith(first) and text.endswith(last):
            yield from self._from(text, len(first), 0, {})

    def _from(self, text: str, start: int, index: int, known: dict[str, str]) -> Iterator[dict[str, str]]:
        """Readings of the text from `start` on, where placeholder `index` begins."""
        name, piece = self.names[index], self.pieces[index + 1]
        last = index + 1 == len(self.names)
        stop = len(text) - len(piece) if last else text.find(piece, start + 1)
        while start < stop:
            value = text[start:stop]
            if _is_beyond(name, value):
                return
            if _fits(name, value) and known.get(name, value) == value:
                found = known | {name: value}
                if last:
                    yield found
                else:
                    yield from self._from(text, stop + len(piece), index + 1, found)
            if last:
                return
            stop = text.find(piece, stop + 1)


def _fits(name: str, value: str) -> bool:
    """Whether a placeholder may stand for this: a number, or words that end neither within parentheses nor a clause."""
    if name.startswith(NUMERIC):
        return _NUMBER_ONLY.fullmatch(value) is not None
    return value[-1] not in ",:;" and all(
        value.count(left) == value.count(right) for left, right in ("()", "[]")
    )


def _is_beyond(name: str, value: str) -> bool:
    """Whether this, and all that begins like it, is more than a placeholder can stand for."""
    if name.startswith(NUMERIC):
        return _NUMBER_BEGUN.fullmatch(value) is None
    if name.startswith(ONE_WORD):
        return " " in value
    return not name.startswith(SEVERAL) and SENTENCE_END.search(value) is not None


@dataclass(frozen=True)
class Catalog:
    """All entries of one language.

    Attributes:
        language: one of `LANGUAGES`.
        exact: sentences without placeholders.
        patterns: those with, the most fixed characters first.
    """

    language: str
    exact: dict[str, str]
    patterns: tuple[Pattern, ...]


@cache
def load_catalog(language: str) -> Catalog:
    """Read the catalog of a language.

    Args:
        language: one of `LANGUAGES` but English, in which the pages are written.

    Raises:
        ConfigError: there is no such language, or an entry's numbers or placeholders are not those of its original.
    """
    if language not in LANGUAGES or language == "en":
        raise ConfigError(
            "unknown_language",
            f"There is no translation into {language!r}.",
            remedy=f"Choose one of {', '.join(LANGUAGES)}.",
        )
    text = resources.files(__package__).joinpath(f"{language}.po").read_text(encoding="utf-8")
    return read_catalog(text, language=language)


def read_catalog(text: str, *, language: str) -> Catalog:
    """A catalog from the text of a PO file.

    Args:
        text: of the file.
        language: one of `LANGUAGES`.

    Raises:
        ConfigError: it is no PO file, has two entries for one sentence, or an entry's numbers or placeholders are not
            those of its original.
    """
    try:
        entries = read_po(io.StringIO(text), abort_invalid=True)
    except PoFileError as error:
        raise ConfigError("catalog_damaged", f"{language}.po cannot be read: {error}.") from error
    _refuse_repeated(text, language)
    exact: dict[str, str] = {}
    patterns: list[Pattern] = []
    for entry in entries:
        original, translation = str(entry.id), str(entry.string)
        if not original or not translation or entry.fuzzy:
            continue
        check_entry(original, translation)
        if PLACEHOLDER.search(original):
            patterns.append(_pattern(original, translation))
        else:
            exact[original] = translation
    return Catalog(language, exact, tuple(sorted(patterns, key=lambda pattern: -pattern.literal)))


def _refuse_repeated(text: str, language: str) -> None:
    """Babel lets the later of two entries win without a word; which one was meant, nobody knows."""
    counts = Counter(re.findall(r"^msgid ((?:\".*\"\s*)+)$", text, flags=re.MULTILINE))
    repeated = [words for words, n in counts.items() if n > 1]
    if repeated:
        raise ConfigError(
            "translation_repeated",
            f"{language}.po has more than one entry for {', '.join(words.strip() for words in repeated)}.",
            remedy="Keep one of them.",
        )


def check_entry(original: str, translation: str) -> None:
    """Refuse a translation that has other numbers or placeholders than its original.

    Raises:
        ConfigError: `translation_differs`.
    """
    for what, found in (("placeholders", PLACEHOLDER.findall), ("numbers", _fixed_numbers)):
        wanted, given = Counter(found(original)), Counter(found(translation))
        if wanted != given:
            raise ConfigError(
                "translation_differs",
                f"The {what} of a translation differ from its original's: {sorted(given.elements())}, expected "
                f"{sorted(wanted.elements())}, in {original!r}.",
                remedy="Correct the entry in the catalog.",
            )


def _fixed_numbers(text: str) -> list[str]:
    return NUMBER.findall(PLACEHOLDER.sub(" ", text))


def _pattern(original: str, translation: str) -> Pattern:
    """The parts of an original; placeholders of the same name stand for the same words."""
    split = PLACEHOLDER.split(original)
    pieces, names = tuple(split[::2]), tuple(split[1::2])
    if not all(pieces[1:-1]):
        raise ConfigError(
            "translation_unclear",
            f"Two placeholders of {original!r} stand side by side; words were expected between them.",
            remedy="Correct the entry in the catalog.",
        )
    return Pattern(pieces, names, translation, max(pieces, key=len), sum(map(len, pieces)))
