import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from dgccl.cohort import open_cohort
from dgccl.errors import CohortError, TrainingError
from dgccl.report import figures, tables, text, write_report
from dgccl.report.gallery import build_gallery
from dgccl.report.modalities_section import embedding_maps
from dgccl.report.page import render_page
from dgccl.report.run_files import read_run
from dgccl.report.sketch import drawn
from dgccl.report.style import class_styles, model_lines

VOID = {"meta", "img", "br", "link", "input", "hr"}
HOSTILE = '<script>alert("x")</script> $a_b$ & Söhne'


class Page(HTMLParser):
    """Visible text, attributes, and whether every element is closed where it should be."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).replace("\u00a0", " ").split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="session")
def html(made: Any) -> str:
    return write_report(made.folder, cohort=made.cohort).read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def page(html: str) -> Page:
    return Page(html)


@pytest.fixture(scope="session")
def results(made: Any) -> dict[str, Any]:
    return json.loads((made.folder / "results.json").read_text(encoding="utf-8"))


def shown(value: float) -> str:
    return f"{value:.3f}".replace("-", "−").replace("−0.000", "0.000")


def test_page_needs_nothing_else(html: str, page: Page) -> None:
    assert not page.attributes("script")
    assert not page.attributes("link")
    for _, attributes in page.tags:
        for key in ("src", "href", "xlink:href", "srcset"):
            assert (attributes.get(key) or "#").startswith(("#", "data:image/png;base64,"))
    assert not re.search(r"url\((?!#)", html), "a style sheet asks for a file"
    assert "@import" not in html
    assert len(html) < 5_000_000


def test_ids_are_unique_and_links_lead_somewhere(page: Page) -> None:
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = [attributes["href"] for attributes in page.attributes("a")]
    assert targets
    assert {target[1:] for target in targets if target} <= set(ids)


def test_page_can_be_read_without_seeing_it(page: Page) -> None:
    assert page.attributes("html") == [{"lang": "en"}]
    assert all(image["alt"] for image in page.attributes("img"))
    assert all(svg["role"] == "img" and svg["aria-label"] for svg in page.attributes("svg"))
    assert len(page.attributes("caption")) == len(page.attributes("table"))
    headings = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert headings.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(headings))


def test_every_result_is_in_the_text(page: Page, results: dict[str, Any]) -> None:
    for name, model in results["models"].items():
        figures = [model["auroc"], model["sensitivity"], model["specificity"]]
        for pattern in model["patterns"].values():
            figures += [pattern["auroc"], pattern["drop"]]
        for figure in figures:
            words = f"{shown(figure['estimate'])} ({shown(figure['ci_low'])} to {shown(figure['ci_high'])})"
            assert words in page.text, name
        for value in [*model["auroc_by_fold"], *model["threshold_by_fold"]]:
            assert shown(value) in page.text
    gate = results["models"]["dgccl"]["gate"]
    for box in (box for boxes in gate["by_class"].values() for box in boxes.values()):
        assert f"{shown(box['median'])} [{shown(box['q1'])}, {shown(box['q3'])}]" in page.text
    for spread in (
        results["models"]["dgccl"]["cosine"][key] for key in ("paired", "mismatched", "paired_untrained")
    ):
        assert f"{shown(spread['mean'])} ± {shown(spread['sd'])}" in page.text
    for entry in results["delong"]:
        assert (
            f"{shown(entry['difference'])} {shown(entry['ci_low'])} to {shown(entry['ci_high'])}" in page.text
        )
    for entry in results["published"].values():
        assert entry["text"] in page.text
    for warning in results["warnings"]:
        assert text.with_model_names(warning, list(results["models"])) in page.text


def test_phantom_and_small_cohort_are_said_first(page: Page) -> None:
    assert "PHANTOM DATA, SMALL COHORT" in page.text[:400]
    assert page.text.index("cannot rank methods") < page.text.index("Verdict")


def test_published_figures_stand_apart(page: Page, results: dict[str, Any]) -> None:
    assert "Published, other data set" in page.text
    assert results["published_note"] in page.text


def test_same_input_gives_same_page(made: Any, html: str) -> None:
    assert render_page(read_run(made.folder), cohort=open_cohort(made.cohort.folder)) == html


def test_no_dash_longer_than_it_need_be(page: Page) -> None:
    assert "\u2014" not in page.text


@pytest.fixture(scope="module")
def odd(make_run: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> str:
    """A page of one model without a gate or embeddings, with many refusals and a hostile name of a site."""
    folder = tmp_path_factory.mktemp("odd")
    made = make_run(
        folder,
        lesions=20,
        models=("late_fusion",),
        data_kind="real",
        site=HOSTILE,
        refused=30,
        embeddings=False,
    )
    return write_report(made.folder, cohort=made.cohort).read_text(encoding="utf-8")


def test_hostile_names_are_only_text(odd: str) -> None:
    assert "<script" not in odd
    assert f"Site: {HOSTILE}" in Page(odd).text


def test_what_cannot_be_shown_is_said(odd: str) -> None:
    page = Page(odd)
    assert "REAL DATA" in page.text[:400]
    assert "only one was trained" in page.text
    assert "Late fusion: no gate" in page.text
    assert "Late fusion: no CT-PET cosine similarity" in page.text
    assert "stores no fused embeddings of late fusion" in page.text
    assert "PET not available" in page.text
    assert "missing_slices 15" in page.text
    assert "Every refusal (30)" in page.text


def test_real_data_are_not_called_simulated(odd: str) -> None:
    assert "PHANTOM" not in odd
    assert "are simulated" not in odd
    assert "is simulated" not in odd


@pytest.fixture(scope="module")
def small(make_run: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    return make_run(tmp_path_factory.mktemp("small"), lesions=20)


def test_few_lesions_get_no_map(small: Any) -> None:
    sketches, notes = embedding_maps(read_run(small.folder), "dgccl")
    assert not sketches
    assert "No t-SNE map of DG-CCL for folds 0, 1, 2, 3 and 4" in notes[0]


def test_a_single_class_fold_has_no_auc(small: Any) -> None:
    run = read_run(small.folder)
    for model in run.results["models"].values():
        model["auroc_by_fold"][2] = model["threshold_by_fold"][2] = None
    lines = model_lines(run.models)
    table = tables.by_fold(run, lines)
    assert table.header[3] == "Fold 2"
    assert [row[0] for row in table.rows[:2]] == ["DG-CCL, AUC", "DG-CCL, threshold"]
    assert [row[3] for row in table.rows] == ["not defined"] * 4
    assert "one class only" in table.note
    assert "one class," in drawn(figures.fold_auroc(run.results["models"], lines)).svg
    limits = run.results["models"]["dgccl"]["threshold_by_fold"]
    groups = build_gallery(
        small.cohort,
        run.test_rows("dgccl"),
        limits,
        modalities=["ct", "pet"],
        classes=class_styles(run.class_names),
        per_group=1,
    )
    folds = {dict(case.facts)["Fold"] for group in groups for case in group.cases}
    assert folds
    assert "2" not in folds, "a lesion without a threshold was neither called right nor wrong"


def test_other_cohort_is_refused_and_the_old_report_stays(made: Any, small: Any, html: str) -> None:
    with pytest.raises(CohortError) as caught:
        write_report(made.folder, cohort=small.cohort)
    assert caught.value.code == "cohort_changed"
    assert (made.folder / "report.html").read_text(encoding="utf-8") == html


@pytest.mark.parametrize("name", ["results.json", "config.json", "predictions.parquet", "history.csv"])
def test_missing_file_is_named(small: Any, tmp_path: Path, name: str) -> None:
    run_dir = tmp_path / "run"
    shutil.copytree(small.folder, run_dir, ignore=shutil.ignore_patterns(name))
    with pytest.raises(TrainingError, match=re.escape(name)) as caught:
        write_report(run_dir, cohort=small.cohort)
    assert caught.value.code == "run_file_missing"
    assert not (run_dir / "report.html").exists()


def test_damaged_table_is_named(small: Any, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    shutil.copytree(small.folder, run_dir)
    history = pd.read_csv(run_dir / "history.csv").drop(columns="validation_loss")
    history.to_csv(run_dir / "history.csv", index=False)
    with pytest.raises(TrainingError, match=r"history\.csv .* validation_loss"):
        write_report(run_dir, cohort=small.cohort)


def test_pictures_are_squares_and_small(page: Page) -> None:
    images = page.attributes("img")
    assert len(images) >= 3
    assert {(image["width"], image["height"]) for image in images} == {("240", "240")}
    assert all(len(image["src"] or "") < 200_000 for image in images)
