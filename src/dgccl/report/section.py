"""What a page is made of, and how it becomes HTML."""

from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from dgccl.report import style
from dgccl.report.gallery import Group
from dgccl.report.style import Drawing
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
    drawings: tuple[Drawing, ...] = ()
    tables: tuple[Table, ...] = ()
    groups: tuple[Group, ...] = ()


def render_template(name: str, **content: Any) -> str:
    """A page as HTML text; the same content gives the same text.

    Args:
        name: of the template.
        content: what the template names; a name that is lacking is an error.
    """
    environment = Environment(
        loader=PackageLoader("dgccl.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    colors = {"ink": style.INK, "muted": style.MUTED, "rule": style.RULE}
    return environment.get_template(name).render(colors=colors, **content)
