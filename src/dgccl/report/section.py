"""What a page is made of, and how it becomes HTML."""

from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from dgccl.report import style
from dgccl.report.gallery import Group
from dgccl.report.language import Translator, translated
from dgccl.report.sketch import Sketch, drawn
from dgccl.report.tables import Table


@dataclass(frozen=True)
class Section:
    """One part of the page; what cannot be shown is stated in `notes`.

    Attributes:
        points: sentences to be set as a list.
    """

    id: str
    title: str
    lead: str = ""
    notes: tuple[str, ...] = ()
    points: tuple[str, ...] = ()
    sketches: tuple[Sketch, ...] = ()
    tables: tuple[Table, ...] = ()
    groups: tuple[Group, ...] = ()


def render_template(name: str, *, translator: Translator | None = None, **content: Any) -> str:
    """A page as HTML text; the same content gives the same text.

    Args:
        name: of the template.
        translator: into the language of the page; None leaves it in English.
        content: what the template names; a name that is lacking is an error.
    """
    environment = Environment(
        loader=PackageLoader("dgccl.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

    def in_language(part: Any) -> Any:
        return part if translator is None else translated(part, translator)

    environment.filters["drawn"] = lambda sketch: in_language(drawn(sketch))
    environment.filters["t"] = in_language
    colors = {"ink": style.INK, "muted": style.MUTED, "rule": style.RULE}
    return environment.get_template(name).render(
        colors=colors, language=translator.tag if translator else "en", **in_language(content)
    )
