"""The parts of a page in another language: every string that a reader sees, and no other."""

from dataclasses import fields, is_dataclass, replace
from typing import Any

from dgccl.report.language.svg import translated_svg
from dgccl.report.language.translator import Translator
from dgccl.report.sketch import Sketch
from dgccl.report.style import Drawing
from dgccl.report.tables import Table

VERBATIM_FIELDS = {"id", "css", "uri", "color", "marker", "swatches", "bar", "bar_top", "lesion_id", "name"}
"""Fields of the page's parts that are no words of the page: ids, style, data, names of files and lesions."""
VERBATIM_KEYS = {"meta", "kind", "classes"}
"""Parts of a page that the template reads as facts and style, not as words."""


def translated(part: Any, translator: Translator) -> Any:
    """A part of a page, whatever it is made of, with its words in another language.

    Args:
        part: a string, a part of the page (a frozen dataclass), or a tuple, list or dictionary of such.
        translator: of the page; what it cannot translate it remembers.
    """
    if isinstance(part, str):
        return translator.text(part) if part else part
    if isinstance(part, (tuple, list)):
        return type(part)(translated(item, translator) for item in part)
    if isinstance(part, dict):
        return {
            key: value if key in VERBATIM_KEYS else translated(value, translator)
            for key, value in part.items()
        }
    if isinstance(part, Drawing):
        return replace(
            part,
            svg=translated_svg(part.svg, translator),
            label=translator.text(part.label),
            caption=translator.text(part.caption),
        )
    if isinstance(part, Sketch):
        return part  # its words are exchanged once it is drawn
    if is_dataclass(part) and not isinstance(part, type):
        kept = VERBATIM_FIELDS | ({"rows"} if isinstance(part, Table) and part.verbatim else set())
        changed = {
            item.name: translated(getattr(part, item.name), translator)
            for item in fields(part)
            if item.name not in kept
        }
        return replace(part, **changed)
    return part
