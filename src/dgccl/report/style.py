"""Colors and the way from a matplotlib figure to an SVG or PNG inside the page.

The palette is Okabe and Ito's, which people with the common color vision deficiencies can tell apart.
Source: Okabe and Ito, Color Universal Design (2008).
"""

import base64
import html
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.figure import Figure

INK = "#1f2933"
MUTED = "#5f6b7a"
RULE = "#d9dee4"

CLASS_STYLES = (
    ("#009E73", "o"), ("#D55E00", "^"), ("#0072B2", "s"), ("#CC79A7", "D"), ("#E69F00", "v"), ("#56B4E9", "P"),
)  # fmt: skip
"""Color and marker of the classes in the order of their labels; beyond these the colors come again."""
_MORE_MARKERS = ("o", "^", "s", "D", "v", "P", "X")

Dash = str | tuple[int, tuple[int, ...]]
"""Dashes of a line as matplotlib takes them."""

MODEL_LINES: dict[str, tuple[str, Dash, str]] = {
    "dgccl": ("#0072B2", "-", "o"),
    "gated_residual": ("#BB4444", "-.", "s"),
    "early_fusion": ("#33AA77", (0, (5, 1)), "^"),
    "late_fusion": ("#CC79A7", "--", "D"),
    "summed_logits": ("#885500", (0, (7, 2)), "v"),
    "concatenation": ("#999922", (0, (3, 1, 1, 1)), "P"),
    "cross_attention": ("#441166", (0, (5, 1, 1, 1, 1, 1)), "X"),
    "product_of_experts": ("#660033", (0, (2, 1)), "p"),
    "single_ct": ("#665566", ":", "<"),
    "single_pet": ("#223300", (0, (1, 1)), ">"),
    "mayo": ("#4422AA", (0, (4, 1, 1, 1)), "d"),
    "herder": ("#8800EE", (0, (8, 1, 2, 1)), "h"),
    "brock": ("#8866EE", (0, (1, 2)), "*"),
}
"""Color, dashes and marker of every known model, the same in every report; published nodule models are purple. Any
two colors are at least 18 apart in CIELAB as seen with protanopia, deuteranopia and tritanopia, and have a contrast of
2.9 or more to white."""
_MORE_LINES: tuple[tuple[str, Dash, str], ...] = (
    ("#E69F00", "-.", "s"), ("#56B4E9", (0, (5, 1)), "^"), ("#595959", "--", "v"), ("#994F7A", (0, (7, 2)), "D"),
)  # fmt: skip

MODALITY_COLORS = ("#1f2933", "#9a6a00", "#7a7f87", "#c9a227")
"""Colors of modalities where they are drawn beside each other; no model and no class has one of them."""

_RC: Any = {  # matplotlib's stubs want a literal type for each key
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "text.color": INK,
    "text.parse_math": False,  # names of sites and models may hold a dollar sign
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


@dataclass(frozen=True)
class Line:
    """How one model is drawn, in every figure and table."""

    color: str
    dash: Dash
    marker: str


@dataclass(frozen=True)
class ClassStyle:
    """How one class is called and drawn, in every figure and table.

    Attributes:
        css: class name in the page's style sheet.
    """

    name: str
    color: str
    marker: str
    css: str


@dataclass(frozen=True)
class Drawing:
    """An SVG element, its words for those who cannot see it, and its caption."""

    svg: str
    label: str
    caption: str


def model_lines(models: Sequence[str]) -> dict[str, Line]:
    """One line style a model: its own for the known ones, the next free one for any other."""
    others = [name for name in models if name not in MODEL_LINES]
    free = [*_MORE_LINES, *(line for name, line in MODEL_LINES.items() if name not in models)]
    extra = {name: Line(*free[index % len(free)]) for index, name in enumerate(others)}
    return {name: extra[name] if name in extra else Line(*MODEL_LINES[name]) for name in models}


def class_styles(names: Sequence[str]) -> list[ClassStyle]:
    """One style a class, in the order of the labels."""
    styles = []
    for index, name in enumerate(names):
        again, place = divmod(index, len(CLASS_STYLES))
        color, marker = CLASS_STYLES[place]
        marker = _MORE_MARKERS[(place + again) % len(_MORE_MARKERS)] if again else marker
        styles.append(ClassStyle(name, color, marker, f"class-{index}"))
    return styles


def render_svg(
    draw: Callable[[Figure], None], *, width_in: float, height_in: float, name: str, label: str
) -> str:
    """Draw on a fresh figure and return it as an SVG element with a text alternative.

    Args:
        draw: puts the axes on the figure.
        width_in: width, inches; the page scales it.
        height_in: height, inches.
        name: makes ids unique within the page and the same on every run.
        label: what the figure shows, in words.
    """
    buffer = io.StringIO()
    with matplotlib.rc_context(_RC | {"svg.hashsalt": name}):
        figure = Figure(figsize=(width_in, height_in), layout="constrained")
        draw(figure)
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(
        r'<g id="[^"]*"', "<g", svg
    )  # nothing refers to group ids, and they would repeat in the page
    view_box = re.search(r'viewBox="[^"]*"', svg)
    if view_box is None:
        raise RuntimeError("matplotlib wrote an SVG without a viewBox")
    text = html.escape(label, quote=True)
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" {view_box[0]} '
    )
    return opening + f'role="img" aria-label="{text}">' + svg[svg.index(">") + 1 :].strip()


def render_png(draw: Callable[[Figure], None], *, size_px: int) -> str:
    """Draw on a fresh square figure without margins and return it as a PNG data URI."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(_RC):
        figure = Figure(figsize=(1.0, 1.0), dpi=size_px)
        draw(figure)
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
