"""What each modality is worth, how the gate weighs them, and what the embeddings hold of the classes."""

import numpy as np

from dgccl.report import figures, inner_figures, style, tables, text
from dgccl.report.acquisition_table import acquisition_table
from dgccl.report.embedding_map import SMALLEST_MAP, tsne_layout
from dgccl.report.run_files import RunFiles
from dgccl.report.section import Section
from dgccl.report.sketch import Sketch


def modalities_section(run: RunFiles, lines: dict[str, style.Line]) -> Section:
    """Missing modalities, gate weights, agreement of embeddings, distance between classes and maps."""
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
    distances = {name: models[name]["class_distances"] for name in lines if models[name]["class_distances"]}
    if distances:
        sketches.append(inner_figures.class_distances(distances, lines))
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
