"""Models that differ in some settings from a whole experiment: rows of the benchmark, ablations of a run."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from dgccl.config.base import Settings

ADJUSTABLE: dict[str, set[str]] = {
    "model": set(),
    "training": set(),
    "augmentation": {"modality_dropout"},
    "images": {"encoder", "encoder_width", "token_width", "planes", "pooling"},
}
"""Keys by table in which models may differ; an empty set stands for all."""
SHARED: dict[str, set[str]] = {
    "model": {"classes", "class_names"},
    "training": {"folds", "validation_fraction", "fold_by"},
}
"""Keys in which the ablations of a run may not differ: they are tested on the same lesions in the same folds."""


class AblationConfig(Settings):
    """One part of a model left out or changed, trained beside the model in the same folds.

    Attributes:
        label: for people.
        model: the model that it is an ablation of, one of `models`.
        settings: what differs: keys of `model` and `training`, the `modality_dropout` of `augmentation`, and of
            `images` what every image modality's encoder may differ in.
    """

    label: Annotated[str, Field(min_length=1)]
    model: str
    settings: Annotated[dict[str, dict[str, Any]], Field(min_length=1)]


def adjusted(
    raw: Mapping[str, Any], settings: Mapping[str, Mapping[str, Any]], *, name: str, images: tuple[str, ...]
) -> dict[str, Any]:
    """An experiment's settings with what one model has of its own.

    Args:
        raw: the experiment, dumped; it stays as it is.
        settings: what differs, by table and key.
        name: of the model, for the message.
        images: names of the image modalities.

    Raises:
        ValueError: a table or key in which models cannot differ.
    """
    changed = dict(raw)
    for table, changes in settings.items():
        allowed = ADJUSTABLE.get(table)
        if allowed is None or (allowed and not set(changes) <= allowed):
            raise ValueError(
                f"{name}: {table} ({', '.join(changes)}) cannot differ between models; what can is "
                + "; ".join(f"{key}: {', '.join(sorted(keys)) or 'any'}" for key, keys in ADJUSTABLE.items())
            )
        if table == "images":
            own = {image: {**raw["modalities"][image], **changes} for image in images}
            changed["modalities"] = {**changed["modalities"], **own}
        else:
            changed[table] = {**raw[table], **changes}
    return changed


def check_shared(settings: Mapping[str, Mapping[str, Any]], *, name: str) -> None:
    """Refuse an ablation whose lesions, classes or folds would be others than those of its model.

    Raises:
        ValueError: a key of `SHARED`.
    """
    for table, keys in SHARED.items():
        wrong = sorted(keys & set(settings.get(table, {})))
        if wrong:
            raise ValueError(
                f"{name}: {table}.{', '.join(wrong)} must be the same for every model of a run, which are compared on "
                "the same lesions in the same folds"
            )
