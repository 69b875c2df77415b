"""The words within a figure: matplotlib keeps them as text, so that they can be exchanged where they stand."""

import html
import re

from dgccl.report.language.translator import Translator

_LABEL = re.compile(r'(\baria-label=")([^"]*)(")')
_TEXT = re.compile(r"(<text\b[^>]*>)([^<]*)(</text>)")


def translated_svg(svg: str, translator: Translator) -> str:
    """A figure with its words in another language; places and sizes stay as drawn.

    Args:
        svg: as `dgccl.report.style.render_svg` gives it: its label, then one `<text>` a line of words.
        translator: of the page.
    """

    def exchanged(match: re.Match[str]) -> str:
        words = html.unescape(match[2]).strip()
        if not words:
            return match[0]
        return f"{match[1]}{html.escape(translator.text(words), quote=False)}{match[3]}"

    def label(match: re.Match[str]) -> str:
        return f"{match[1]}{html.escape(translator.text(html.unescape(match[2])), quote=True)}{match[3]}"

    return _TEXT.sub(exchanged, _LABEL.sub(label, svg, count=1))
