"""Puts text, tables, figures and lesion pictures together into one HTML file."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dgccl.cohort import Cohort
from dgccl.errors import CohortError
from dgccl.files import write_atomically
from dgccl.report import (
    characteristics,
    class_figures,
    class_tables,
    figures,
    inner_figures,
    qc,
    style,
    tables,
    text,
)
from dgccl.report.ablation_section import ablation_section
from dgccl.report.acquisition_table import acquisition_table
from dgccl.report.clinical_section import clinical_section
from dgccl.report.embedding_map import SMALLEST_MAP, tsne_layout
from dgccl.report.flow import flow
from dgccl.report.gallery import build_gallery
from dgccl.report.language import Translator, load_catalog
from dgccl.report.language.svg import translated_svg
from dgccl.report.published import published_table
from dgccl.report.run_files import RunFiles, read_run
from dgccl.report.section import Section, render_template
from dgccl.report.sketch import Sketch, write_sketches
from dgccl.report.stress_section import stress_section
from dgccl.report.trust_section import trust_section
from dgccl.report.verdict import limitations, verdict


def write_report(run_dir: Path, *, cohort: Cohort, language: str = "en") -> Path:
    """Write RUN_DIR/report.html, one file that needs nothing else, and its figures with their data as files.

    Args:
        run_dir: a run that was trained and evaluated.
        cohort: the cohort that the run was trained on.
        language: of the page, one of `language.LANGUAGES`; one other than English has its own file and folder of
            figures (`report.zh.html`, `figures.zh/`).

    Returns:
        Path of the report.

    Raises:
        TrainingError: a file of the run is absent or damaged.
        CohortError: the cohort is not the one that the run was trained on.
        ConfigError: there is no translation into the language.
    """
    run = read_run(run_dir)
    evaluated = str(run.results["meta"]["cohort_sha256"])
    if cohort.sha256 != evaluated:
        raise CohortError(
            "cohort_changed",
            f"The cohort's hash begins with {cohort.sha256[:12]}; the run was evaluated on {evaluated[:12]}.",
            remedy="Give the cohort folder that the run was trained on, unchanged.",
        )
    ending = "" if language == "en" else f".{language}"
    translator = None if language == "en" else translator_for(run, cohort, language)
    content = page_content(run, cohort=cohort)
    sketches = [sketch for section in content["sections"] for sketch in section.sketches]
    write_sketches(
        run_dir / f"figures{ending}",
        sketches,
        in_language=str if translator is None else partial(translated_svg, translator=translator),
    )
    path = run_dir / f"report{ending}.html"
    write_atomically(path, render_template("report.html.j2", translator=translator, **content))
    return path


def translator_for(run: RunFiles, cohort: Cohort, language: str) -> Translator:
    """The translator of a run's page; names of sites, scanners, classes, models and columns stay as they are."""
    tables = [cohort.lesions[name].astype(str) for name in ("site", "scanner", "manufacturer", "sex")
              if name in cohort.lesions]  # fmt: skip
    names = {value for column in tables for value in column.unique()}
    names |= {*run.models, *run.modalities, *cohort.lesions.columns, str(run.results["meta"]["config_name"])}
    names |= {str(run.run["command"]), cohort.folder.name}
    names |= {str(entry["label"]) for entry in run.results.get("ablations") or ()}
    for column in cohort.manifest.get("settings", {}).get("clinical", ()):
        names |= set(cohort.lesions[column].astype(str).unique())
    known = load_catalog(language).exact
    names |= {name for name in run.class_names if name not in known}
    return Translator(load_catalog(language), verbatim=names)


def render_page(run: RunFiles, *, cohort: Cohort) -> str:
    """The page as HTML text, in English; the same input gives the same text."""
    return render_template("report.html.j2", **page_content(run, cohort=cohort))


def page_content(run: RunFiles, *, cohort: Cohort) -> dict[str, Any]:
    """All that the page shows, in English, as the template names it."""
    lines, classes = style.model_lines(run.models), style.class_styles(run.class_names)
    meta = run.results["meta"]
    return {
        "meta": meta,
        "title": _title(run),
        "classes": classes,
        "kind": meta["data_kind"],
        "size": f"{text.count(meta['n_lesions'], 'lesion')} of {text.count(meta['n_patients'], 'patient')} "
        f"({text.class_counts(meta['n_by_class'])}), {text.count(int(meta['folds']), 'fold')}",
        "bands": [
            f"{meta['data_kind']} data",
            *(band.replace("_", " ") for band in meta["bands"] if band != "phantom"),
        ],
        "warnings": run.results["warnings"],
        "headline": tables.headline(run, lines),
        "verdict": verdict(run),
        "sections": [
            _cohort(run, cohort),
            _results(run, lines),
            ablation_section(run, lines),
            trust_section(run, lines),
            clinical_section(run),
            _modalities(run, lines),
            stress_section(run.stress, lines),
            _training(run, lines),
            _gallery(run, cohort),
            _provenance(run, cohort),
            Section("limitations", "Limitations", points=tuple(limitations(run))),
        ],
    }


def _title(run: RunFiles) -> str:
    """What was told apart, from what."""
    *first, last = run.class_names
    kinds = (
        f"{', '.join(first)} or {last}" if len(run.class_names) <= 5 else f"{len(run.class_names)} classes"
    )
    return f"DG-CCL on {text.listing([text.modality_name(name) for name in run.modalities])}: {kinds}"


def _results(run: RunFiles, lines: dict[str, style.Line]) -> Section:
    models = run.results["models"]
    shown = [tables.comparisons(run)] if run.results["delong"] else []
    notes = [] if shown else ["No model was compared with another, since only one was trained."]
    if len(run.models) > 1 and not shown:
        notes = ["No two models could be compared; the warnings at the head say why."]
    folds = figures.fold_auroc(models, lines, area=text.area_name(len(run.class_names)))
    sketches: list[Sketch]
    if len(run.class_names) == 2:
        sketches = [figures.roc(models, lines), folds]
        shown += [published_table(run), tables.confusion(run, lines)]
    else:
        primary, classes = run.models[0], style.class_styles(run.class_names)
        sketches = [
            draw(primary, models[primary], classes)
            for draw in (class_figures.roc_by_class, class_figures.confusion)
        ]
        sketches.append(folds)
        notes.append(run.results["published_note"])
        shown = [class_tables.area_by_class(run, lines), *shown]
        shown += [class_tables.rates_by_class(run, lines), class_tables.confusion(run, lines)]
    return Section(
        "results",
        "Discrimination",
        notes=tuple(notes),
        sketches=tuple(sketches),
        tables=(*shown, tables.by_fold(run, lines)),
    )


def _modalities(run: RunFiles, lines: dict[str, style.Line]) -> Section:
    models, modalities = run.results["models"], run.modalities
    classes, area = style.class_styles(run.class_names), text.area_name(len(run.class_names))
    sketches, notes, shown = [], [], []
    if any(models[name]["patterns"] for name in lines):
        sketches.append(figures.missing_modality(models, lines, modalities=modalities, area=area))
        shown.append(tables.missing_modality(run, lines))
    else:
        notes.append(
            "No modality was withheld in this run, so that there is no figure for a missing modality."
        )
    outlook = acquisition_table(run, lines)
    if outlook is not None:
        shown.append(outlook)
    cosines = {name: models[name]["cosine"] for name in lines if models[name]["cosine"] is not None}
    if cosines:
        sketches.append(inner_figures.cosine(cosines, lines, modalities=modalities))
    gates = {name: models[name]["gate"] for name in lines if models[name]["gate"] is not None}
    sketches += [
        inner_figures.gate_weights(
            name, run.complete_rows(name), gate, modalities=modalities, classes=classes
        )
        for name, gate in gates.items()
    ]
    if gates:
        shown.append(tables.gate_weights(run, gates))
    pair = "-".join(text.modality_name(name) for name in modalities[:2])
    for found, words in (
        (gates, "no gate, hence no gate weights"),
        (cosines, f"no {pair} cosine similarity in the results"),
    ):
        lacking = [text.model_name(name) for name in lines if name not in found]
        if lacking:
            notes.append(f"{text.listing(lacking)}: {words}.")
    without = [text.model_words(name) for name in lines if name not in run.fused]
    if without:
        notes.append(f"The run stores no fused embeddings of {text.listing(without)}, hence no t-SNE map.")
    for name in (name for name in lines if name in run.fused):
        maps, said = embedding_maps(run, name)
        sketches += maps
        notes += said
    title = f"{text.listing([text.modality_name(name) for name in modalities])}, gate and embeddings"
    return Section("modalities", title, notes=tuple(notes), sketches=tuple(sketches), tables=tuple(shown))


def _training(run: RunFiles, lines: dict[str, style.Line]) -> Section:
    sketches, notes = [], []
    for name, line in lines.items():
        history = run.history.loc[run.history["model"] == name]
        if history.empty:
            notes.append(f"history.csv has no training history of {text.model_words(name)}.")
        else:
            area = text.area_name(len(run.class_names))
            sketches.append(inner_figures.training(name, history, line, area=area))
    return Section("training", "Training", notes=tuple(notes), sketches=tuple(sketches))


def embedding_maps(run: RunFiles, name: str) -> tuple[list[Sketch], list[str]]:
    """The t-SNE map of one model that has fused embeddings, and what had to be left out of it."""
    fused = run.fused[name]
    fold, y_true = (fused.rows[name].to_numpy(np.int64) for name in ("fold", "y_true"))
    layouts, small = {}, []
    for number in np.unique(fold).tolist():
        chosen = fold == number
        if chosen.sum() < SMALLEST_MAP:
            small.append(str(number))
        else:
            layouts[number] = (tsne_layout(fused.vectors[chosen]), y_true[chosen])
    notes = []
    if small:
        folds = f"fold{'s' if len(small) > 1 else ''} {text.listing(small)}"
        notes.append(
            f"No t-SNE map of {text.model_words(name)} for {folds}: fewer than {SMALLEST_MAP} test lesions have "
            "no neighborhoods to show."
        )
    classes = style.class_styles(run.class_names)
    return ([inner_figures.embedding_map(name, layouts, classes)] if layouts else []), notes


def _gallery(run: RunFiles, cohort: Cohort) -> Section:
    primary = run.models[0]
    groups = build_gallery(
        cohort,
        run.test_rows(primary),
        run.results["models"][primary]["threshold_by_fold"],
        modalities=run.modalities,
        classes=style.class_styles(run.class_names),
        windows=_windows(run),
    )
    score = run.class_names[1] if len(run.class_names) == 2 else "the true class"
    lead = f"Test lesions as {text.model_name(primary)} scored them (score: probability of {score})."
    if not cohort.is_table:
        lead += (
            " One axial plane, where the outline (blue) is largest; the patient's left is on the right of the picture. "
            "CT in the lung window, or in the soft-tissue window where the box holds no lung. PET as SUVbw, white to "
            "black."
        )
    if _windows(run):
        lead += " Other images as robust z-scores (0: typical tissue), in the window that the networks see."
    return Section("gallery", "Lesions: surest and worst", lead, groups=tuple(groups))


def _windows(run: RunFiles) -> dict[str, tuple[float, float]]:
    """Windows of the images that have no scale of their own, such as MR."""
    modalities = run.config["modalities"].items()
    return {name: tuple(m["window"]) for name, m in modalities if m["quantity"] == "intensity"}


def _cohort(run: RunFiles, cohort: Cohort) -> Section:
    said, decisions = qc.decisions(cohort)
    outcome = cohort.manifest.get("outcome", "label")
    labels = text.listing([f"{index} is {name}" for index, name in enumerate(run.class_names)])
    said += f" Labels of the column {outcome!r} in the label table: {labels}."
    shown = (
        characteristics.by_class(cohort, run.class_names),
        characteristics.by_fold(run, cohort),
        *decisions,
    )
    sketches = (flow(run, cohort),)
    return Section("cohort", "Cohort and quality control", said, sketches=sketches, tables=shown)


def _provenance(run: RunFiles, cohort: Cohort) -> Section:
    shown = (
        tables.provenance(run, cohort),
        tables.settings("Configuration", run.config),
        tables.settings("Environment", run.environment),
        tables.settings("Cohort manifest", cohort.manifest),
    )
    return Section("provenance", "Provenance", tables=shown)
