"""Figures with their data as files, and the page as a PDF."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from matplotlib.figure import Figure

from dgccl.errors import ConfigError, ReportError
from dgccl.report import pdf, print_pdf, write_report
from dgccl.report.sketch import Sketch, write_sketches


def sketch(name: str, value: float = 1.0) -> Sketch:
    def draw(figure: Figure) -> None:
        figure.add_subplot().plot([0, value], [0, 1], label="words")

    return Sketch(name, draw, 3.0, 2.0, f"Shows {name}.", "Caption.", pd.DataFrame({"x": [0.0, value]}))


def test_every_figure_has_a_picture_and_its_numbers(tmp_path: Path) -> None:
    write_sketches(tmp_path, [sketch("one"), sketch("two", 5.0)])
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "index.csv", "one.csv", "one.svg", "two.csv", "two.svg",
    ]  # fmt: skip
    assert pd.read_csv(tmp_path / "two.csv")["x"].tolist() == [0.0, 5.0]
    assert pd.read_csv(tmp_path / "index.csv")["shows"].tolist() == ["Shows one.", "Shows two."]


def test_what_is_no_longer_drawn_goes_and_what_is_not_ours_stays(tmp_path: Path) -> None:
    write_sketches(tmp_path, [sketch("one"), sketch("two")])
    (tmp_path / "mine.svg").write_text("<svg/>")
    write_sketches(tmp_path, [sketch("two")])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index.csv", "mine.svg", "two.csv", "two.svg"]


def test_two_figures_of_one_name_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one name"):
        write_sketches(tmp_path, [sketch("one"), sketch("one")])


@pytest.mark.parametrize("class_names", [("benign", "malignant"), ("adeno", "squamous", "benign")])
def test_the_files_are_the_figures_of_the_page(
    make_run: Callable[..., Any], tmp_path: Path, class_names: tuple[str, ...]
) -> None:
    run = make_run(tmp_path, class_names=class_names)
    page = write_report(run.folder, cohort=run.cohort).read_text(encoding="utf-8")
    listed = pd.read_csv(run.folder / "figures" / "index.csv")
    on_page = re.findall(r'<svg [^>]*role="img" aria-label="([^"]*)"', page)
    assert len(on_page) == len(listed) >= 7
    for name in listed["name"]:
        assert (run.folder / "figures" / f"{name}.svg").read_text(encoding="utf-8").startswith("<svg ")
        assert len(pd.read_csv(run.folder / "figures" / f"{name}.csv"))


def test_an_unknown_language_is_an_error(make_run: Callable[..., Any], tmp_path: Path) -> None:
    run = make_run(tmp_path)
    with pytest.raises(ConfigError, match="no translation into 'fr'"):
        write_report(run.folder, cohort=run.cohort, language="fr")


def browser() -> None:
    try:
        pdf.find_browser()
    except ReportError:
        pytest.skip("needs Chromium, Chrome or Edge")


def test_the_page_is_printed(make_run: Callable[..., Any], tmp_path: Path) -> None:
    browser()
    run = make_run(tmp_path)
    printed = tmp_path / "report.pdf"
    print_pdf(write_report(run.folder, cohort=run.cohort), printed)
    content = printed.read_bytes()
    assert content.startswith(b"%PDF")
    assert (
        content.count(b"/Type /Page\n") + content.count(b"/Type /Page ") + content.count(b"/Type /Page>") > 3
    )


def test_without_a_browser_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DGCCL_BROWSER", "no-such-browser")
    with pytest.raises(ReportError, match="no-such-browser"):
        print_pdf(tmp_path / "page.html", tmp_path / "page.pdf")
    monkeypatch.setenv("DGCCL_BROWSER", "true")  # a program that prints nothing
    with pytest.raises(ReportError, match="wrote no PDF"):
        print_pdf(tmp_path / "page.html", tmp_path / "page.pdf")
