"""The words within a figure: matplotlib keeps them as text, so that they can be exchanged where they stand."""

import html
import re

from dgccl.report.language.translator import Translator

_LABEL = re.compile(r'(\baria-label=")([^"]*)(")')
_TEXT = re.compile(r"(<text\b[^>]*>)([^<]*)(</text>)")
MOST_LINES = 5
"""A label that was broken over more lines than this is not put together again."""
WIDE = 2.0
"""Width of an ideograph in letters of the same size."""


def translated_svg(svg: str, translator: Translator) -> str:
    """A figure with its words in another language; places and sizes stay as drawn.

    Args:
        svg: as `dgccl.report.style.render_svg` gives it: its label, then one `<text>` a line of words.
        translator: of the page.
    """
    lines = [html.unescape(match[2]) for match in _TEXT.finditer(svg)]
    exchanged = iter(_lines_of(lines, translator))

    def line(match: re.Match[str]) -> str:
        return f"{match[1]}{html.escape(next(exchanged), quote=False)}{match[3]}"

    def label(match: re.Match[str]) -> str:
        return f"{match[1]}{html.escape(translator.text(html.unescape(match[2])), quote=True)}{match[3]}"

    return _LABEL.sub(label, _TEXT.sub(line, svg), count=1)


def _lines_of(lines: list[str], translator: Translator) -> list[str]:
    """Every line translated, alone where that is possible, else with those that follow it as one label."""
    found: list[str] = []
    while len(found) < len(lines):
        start = len(found)
        for stop in range(start + 1, min(start + MOST_LINES, len(lines)) + 1):
            part = [line.strip() for line in lines[start:stop]]
            whole = translator.known(" ".join(part))
            if whole is not None:
                found += [lines[start]] if whole == lines[start] else _refilled(whole, part)
                break
        else:
            found.append(translator.text(lines[start].strip()))
    return found


def _refilled(text: str, lines: list[str]) -> list[str]:
    """A text over as many lines as the original had, none wider than its widest but the last; lines may stay empty."""
    if len(lines) == 1:
        return [text]
    room, filled, rest = max(map(len, lines)), [], text
    for _ in lines[:-1]:
        stop = next((k for k in range(1, len(rest) + 1) if _width(rest[:k]) > room), len(rest) + 1) - 1
        if stop < len(rest):  # not within a word or number, nor before a mark that ends a clause
            while stop > 1 and (
                (_is_latin(rest[stop - 1]) and _is_latin(rest[stop])) or rest[stop] in "，。；：）、"
            ):
                stop -= 1
        filled.append(rest[:stop].rstrip())
        rest = rest[stop:].lstrip()
    return [*filled, rest]


def _width(text: str) -> float:
    return sum(1.0 if ord(letter) < 0x2E80 else WIDE for letter in text)


def _is_latin(letter: str) -> bool:
    return letter.isascii() and not letter.isspace()
