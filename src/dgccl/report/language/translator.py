"""Finds the translation of finished English text, figures and all."""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import reduce
from itertools import count

from dgccl.report.language.catalog import AS_IS, LANGUAGES, PLACEHOLDER, SENTENCE_END, Catalog

_WORD = re.compile(r"[A-Za-z]?[a-z]{2,}")
_IDENTIFIER = re.compile(r"\S*[\d_/\\@]\S*|\w+(?:\.\w+)+")
_JOINED = re.compile(r"[A-Z].*[,:] ")
"""Names in capitals, joined: no words to translate, but marks between them."""
_LINE_END = re.compile(r"\s*\n\s*")
_CLOSING = "。，；：！？）、」”"
_SEAM = re.compile(r"[\u3400-\u9fff][A-Za-z0-9+\u2212]|[A-Za-z0-9%.)][\u3400-\u9fff]")
"""Where an ideograph and a letter or digit meet, a space stands between them."""
DEEPEST = 60
"""Levels of placeholders within placeholders; a list of models needs one a name."""
MOST_READINGS = 12
"""Ways to read a sentence by one pattern that are tried; a list of long names has many, and the first ones fit."""
_SEMICOLON = re.compile(r"; (?![^(]*\))")


class Translator:
    """Translates the strings of one page and remembers which it could not."""

    def __init__(self, catalog: Catalog, *, verbatim: Iterable[str] = ()) -> None:
        """Begin a page.

        Args:
            catalog: of the language.
            verbatim: names that stand in every language as they are: of sites, scanners, columns; also with a capital
                at their beginning, and with spaces for underscores.
        """
        self.catalog = catalog
        self.missing: dict[str, None] = {}
        names = [form for name in verbatim for form in (name, name.replace("_", " "))]
        self._verbatim = frozenset([*names, *(name[:1].upper() + name[1:] for name in names)])
        self._known: dict[str, str | None] = {}
        self._cut_short = 0
        originals = {pattern.pieces: pattern.translation for pattern in catalog.patterns}
        self._semicolon = originals.get(("", "; ", ""), "")
        self._list = originals.get(("", ", ", " and ", ""), "")

    @property
    def tag(self) -> str:
        """What the page says of its language (BCP 47)."""
        return LANGUAGES[self.catalog.language]

    def text(self, english: str) -> str:
        """A string in the catalog's language, or as it is where there is no entry; that is remembered in `missing`.

        Args:
            english: one sentence, several, or a few words.
        """
        whole = self.known(english)
        if whole is not None:
            return whole
        said = []
        for sentence, hit in self._sentences(_LINE_END.sub(" ", english.strip()), 0):
            if hit is None:
                self.missing[sentence] = None
            said.append(sentence if hit is None else hit)
        return _joined(said)

    def known(self, english: str) -> str | None:
        """A string in the catalog's language; None, which is not remembered, where there is no entry.

        Args:
            english: one sentence, several, or a few words.
        """
        return self._find(_LINE_END.sub(" ", english), 0)

    def _find(self, english: str, depth: int) -> str | None:
        if english in self._known:
            return self._known[english]
        before = self._cut_short
        found = self._look_up(english, depth)
        if found is not None or self._cut_short == before:  # else None may only mean that it was too deep
            self._known[english] = found
        return found

    def _look_up(self, english: str, depth: int) -> str | None:
        if english in self.catalog.exact:
            return self.catalog.exact[english]
        stripped = english.strip()
        wordless = not _WORD.search(stripped)
        if (
            stripped in self._verbatim
            or _IDENTIFIER.fullmatch(stripped)
            or (wordless and not _JOINED.search(stripped))
        ):
            return english
        if stripped != english:
            return self._find(stripped, depth)
        if depth == DEEPEST:
            self._cut_short += 1
            return None
        found = self._by_parts(english, depth) or self._by_sentences(english, depth)
        return english if found is None and wordless else found

    def _by_parts(self, english: str, depth: int) -> str | None:
        """`a; b; c`, or `a, b and c`, if every part is known: patterns would try all ways to divide a long one."""
        parts = _SEMICOLON.split(english)
        if len(parts) > 1 and self._semicolon:
            found = self._all_found(dict(zip(map(str, count()), parts, strict=False)), depth + 1)
            if found is None:
                return self._by_patterns(english, depth)
            return reduce(lambda a, b: _filled(self._semicolon, {"a": a, "b": b}), found.values())
        head, _, last = english.rpartition(" and ")
        parts = [*head.split(", "), last]
        if len(parts) > 3 and self._list and "(" not in english:
            found = self._all_found(dict(zip(map(str, count()), parts, strict=False)), depth + 1)
            if found is not None:
                *first, b, c = found.values()
                comma = self._list.partition("{a}")[2].partition("{b}")[0]
                return _filled(self._list, {"a": comma.join(first), "b": b, "c": c})
        return self._by_patterns(english, depth)

    def _by_patterns(self, english: str, depth: int) -> str | None:
        for pattern in self.catalog.patterns:
            for _, values in zip(range(MOST_READINGS), pattern.readings(english), strict=False):
                known = self._all_found(values, depth + 1)
                if known is not None:
                    return _filled(pattern.translation, known)
        return None

    def _all_found(self, values: Mapping[str, str], depth: int) -> dict[str, str] | None:
        """Every value in the other language, or nothing as soon as one is not known."""
        known = {}
        for name, value in values.items():
            found = value if name.startswith(AS_IS) else self._find(value, depth)
            if found is None:
                return None
            known[name] = found
        return known

    def _by_sentences(self, english: str, depth: int) -> str | None:
        """Several sentences, if each of them is known."""
        found = list(self._sentences(english, depth + 1))
        hits = [hit for _, hit in found if hit is not None]
        return _joined(hits) if len(hits) == len(found) > 1 else None

    def _sentences(self, english: str, depth: int) -> Iterator[tuple[str, str | None]]:
        """The sentences of a text with their translations, as many of them together as an entry holds."""
        sentences = SENTENCE_END.split(english)
        if len(sentences) == 1:
            yield english, None
            return
        first = 0
        while first < len(sentences):
            for stop in range(len(sentences) - (first == 0), first, -1):
                together = " ".join(sentences[first:stop])
                hit = self._find(together, depth)
                if hit is not None or stop == first + 1:
                    yield together, hit
                    first = stop
                    break


def _filled(translation: str, values: Mapping[str, str]) -> str:
    """A translation with its values, spaced where Chinese and Latin script meet at a value's ends."""
    text = ""
    for index, part in enumerate(PLACEHOLDER.split(translation)):
        piece = values[part] if index % 2 else part
        text += f" {piece}" if _SEAM.fullmatch(text[-1:] + piece[:1]) else piece
    return text


def _joined(sentences: list[str]) -> str:
    """Sentences one after the other; a space only where the one before does not end in a full-width mark."""
    text = ""
    for sentence in sentences:
        text += sentence if not text or text[-1] in _CLOSING else f" {sentence}"
    return text
