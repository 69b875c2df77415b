"""A figure as files of its own, SVG and PNG, beside the data it was drawn from."""

import io
from collections.abc import Callable
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from dgccl.files import write_atomically
from dgccl.report import style

PNG_DPI = 160


def write_figure(
    folder: Path, name: str, draw: Callable[[Figure], None], *, width_in: float, height_in: float, label: str
) -> None:
    """Draw a figure and write it as `<name>.svg` and `<name>.png`, on white.

    Args:
        folder: made if need be.
        name: of the files.
        draw: puts the axes on the figure.
        width_in: width, inches.
        height_in: height, inches.
        label: what the figure shows, in words.
    """
    svg = svg_on_white(name, draw, width_in=width_in, height_in=height_in, label=label)
    write_atomically(folder / f"{name}.svg", svg + "\n")
    buffer = io.BytesIO()
    with matplotlib.rc_context(style._RC):
        figure = Figure(figsize=(width_in, height_in), dpi=PNG_DPI, layout="constrained")
        _on_white(figure, draw)
        figure.savefig(buffer, format="png", metadata={"Software": None})
    write_atomically(folder / f"{name}.png", buffer.getvalue())


def svg_on_white(
    name: str, draw: Callable[[Figure], None], *, width_in: float, height_in: float, label: str
) -> str:
    """A figure as an SVG that may be looked at on any ground; arguments as of `write_figure`."""
    return style.render_svg(
        lambda figure: _on_white(figure, draw), width_in=width_in, height_in=height_in, name=name, label=label
    )


def _on_white(figure: Figure, draw: Callable[[Figure], None]) -> None:
    # A page's own figures are transparent.
    paper = Rectangle((0, 0), 1, 1, transform=figure.transFigure, facecolor="white", zorder=-10)
    figure.add_artist(paper)
    draw(figure)
