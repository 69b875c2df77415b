"""A figure before it is drawn: it becomes a part of a page, or files of its own with its data beside them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from dgccl.files import write_atomically
from dgccl.report import style
from dgccl.report.figure_files import write_figure
from dgccl.report.style import Drawing


@dataclass(frozen=True)
class Sketch:
    """What a figure is drawn from.

    Attributes:
        name: of its files, unique within a page.
        draw: puts the axes on a figure.
        width_in: width, inches.
        height_in: height, inches.
        label: what it shows, in words, for those who cannot see it.
        caption: below it.
        data: the numbers that are drawn.
    """

    name: str
    draw: Callable[[Figure], None]
    width_in: float
    height_in: float
    label: str
    caption: str
    data: pd.DataFrame


def drawn(sketch: Sketch) -> Drawing:
    """The figure as a part of a page."""
    svg = style.render_svg(
        sketch.draw,
        width_in=sketch.width_in,
        height_in=sketch.height_in,
        name=sketch.name,
        label=sketch.label,
    )
    return Drawing(svg, sketch.label, sketch.caption)


def write_sketch(folder: Path, sketch: Sketch) -> None:
    """The figure as `<name>.svg` and `<name>.png`, its data as `<name>.csv`."""
    write_figure(
        folder,
        sketch.name,
        sketch.draw,
        width_in=sketch.width_in,
        height_in=sketch.height_in,
        label=sketch.label,
    )
    write_atomically(folder / f"{sketch.name}.csv", sketch.data.to_csv(index=False, lineterminator="\n"))
