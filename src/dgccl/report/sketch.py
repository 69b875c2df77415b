"""A figure before it is drawn: it becomes a part of a page, or files of its own with its data beside them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from dgccl.files import write_atomically
from dgccl.report import style
from dgccl.report.figure_files import svg_on_white, write_figure
from dgccl.report.style import Drawing

INDEX = "index.csv"


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
    _write_data(folder, sketch)


def write_sketches(
    folder: Path, sketches: Sequence[Sketch], *, in_language: Callable[[str], str] = str
) -> None:
    """Figures of a page as `<name>.svg`, their data as `<name>.csv`, and an `index.csv` that lists them.

    Figures of an earlier page that this one does not have are removed; files that no index lists are left alone.

    Args:
        folder: made if need be.
        sketches: of the page, each of a name of its own.
        in_language: puts the words of an SVG into the language of the page.

    Raises:
        ValueError: two figures have one name.
    """
    names = [sketch.name for sketch in sketches]
    if len(set(names)) < len(names):
        raise ValueError(f"two figures of a page have one name: {', '.join(sorted(names))}")
    for sketch in sketches:
        svg = svg_on_white(
            sketch.name,
            sketch.draw,
            width_in=sketch.width_in,
            height_in=sketch.height_in,
            label=sketch.label,
        )
        write_atomically(folder / f"{sketch.name}.svg", in_language(svg) + "\n")
        _write_data(folder, sketch)
    index = folder / INDEX
    if index.exists():
        for name in set(pd.read_csv(index, dtype=str)["name"]) - set(names):
            for ending in ("svg", "csv"):
                (folder / f"{name}.{ending}").unlink(missing_ok=True)
    listed = pd.DataFrame({"name": names, "shows": [sketch.label for sketch in sketches]})
    write_atomically(index, listed.to_csv(index=False, lineterminator="\n"))


def _write_data(folder: Path, sketch: Sketch) -> None:
    write_atomically(folder / f"{sketch.name}.csv", sketch.data.to_csv(index=False, lineterminator="\n"))
