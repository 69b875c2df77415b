"""Answers about the models: what they are, how they were trained and chosen, and by what software."""

from typing import Any

from dgccl.cohort import Cohort
from dgccl.report import text
from dgccl.report.checklists.of_inputs import TABLE
from dgccl.report.checklists.said import by_site, joined, percent, plain, simulated, span
from dgccl.report.run_files import RunFiles

ENCODERS = {
    "cnn": "a small convolutional network",
    "resnet50_spp": "ResNet-50 up to its third stage",
    "vit_small": "ViT-Small",
}
GATES = {"dynamic": "a gate of each case", "static": "a gate alike for all cases", "equal": "equal weights"}
SEPARATE = ("late_fusion", "summed_logits", "product_of_experts")
"""Models that combine the outputs of one network for each modality."""


def goal(run: RunFiles, cohort: Cohort) -> str | None:
    """What was developed and how it was tested."""
    models = text.listing([text.model_words(name) for name in run.models])
    return joined(
        f"Trained and tested by cross-validation: {models}.",
        f"To be told apart: {text.listing(run.class_names)}.",
        simulated(run),
    )


def imbalance(run: RunFiles, cohort: Cohort) -> str | None:
    """The classes, and that training treats them alike."""
    kept = "" if by_site(run) else "Folds keep the classes in proportion."
    classes = text.class_counts(run.results["meta"]["n_by_class"])
    return joined(
        f"Lesions by class: {classes}.",
        "No class is weighted and no lesion repeated in training.",
        kept,
    )


def architecture(run: RunFiles, cohort: Cohort) -> str | None:
    """Models, encoders and fusion; all settings stand in the configuration."""
    models = text.listing([text.model_words(name) for name in run.models])
    return joined(
        f"Models: {models}.", _encoders(run), _fusion(run), "Every setting is listed under Configuration."
    )


def model_building(run: RunFiles, cohort: Cohort) -> str | None:
    """The models, their selection and the internal validation."""
    folds = text.count(int(run.results["meta"]["folds"]), "fold")
    return joined(
        architecture(run, cohort) or "",
        selection(run, cohort) or "",
        f"Internal validation: cross-validation with {folds}.",
        "The run tries no other settings than those of its configuration.",
    )


def training(run: RunFiles, cohort: Cohort) -> str | None:
    """Optimizer, augmentation, losses and how many networks were trained for how long."""
    return joined(_networks(run), _optimizer(run), _augmentation(run), _contrast(run))


def selection(run: RunFiles, cohort: Cohort) -> str | None:
    """Which weights of a training were kept."""
    settings = run.config["training"]
    average = settings.get("weight_average")
    patience = settings.get("patience")
    return joined(
        "Of each training the weights with the lowest validation loss were kept.",
        f"Validated and kept is a moving average of the weights, decay {average}." if average else "",
        f"A training stops after {text.count(patience, 'epoch')} without a lower one." if patience else "",
    )


def initialization(run: RunFiles, cohort: Cohort) -> str | None:
    """Where the weights began; None where the run does not say whether they were pre-trained."""
    if "start" not in run.run:
        return None
    start = run.run["start"]
    seed = f"Weights were drawn at random, from a seed for each fold that follows from {run.run['seed']}."
    if start is None:
        return joined(seed, "Nothing was pre-trained.")
    return joined(
        seed,
        f"Encoders began with pre-trained weights, SHA-256 {start['encoders_sha256']}.",
        f"Pre-trained without labels on {start['data_kind']} data.",
    )


def ensembles(run: RunFiles, cohort: Cohort) -> str | None:
    """What is combined into one answer."""
    separate = [text.model_words(name) for name in run.models if name in SEPARATE]
    return joined(
        "Each test lesion is scored by the one network of its fold, no networks are averaged.",
        f"Combined from one network for each modality: {text.listing(separate)}." if separate else "",
        _poses(run),
    )


def predictions_made(run: RunFiles, cohort: Cohort) -> str | None:
    """How the scores of the test lesions came about."""
    return joined(
        f"DG-CCL {run.results['meta']['dgccl_version']} scored each test lesion by the one network that never saw its "
        "patient.",
        _poses(run),
        "All scores stand in predictions.parquet of the run.",
    )


def specification(run: RunFiles, cohort: Cohort) -> str | None:
    """Where the whole model is."""
    return joined(
        "The run keeps the weights of every network and the whole configuration.",
        f"They are read by DG-CCL {run.results['meta']['dgccl_version']}, under the Apache License 2.0.",
    )


def code(run: RunFiles, cohort: Cohort) -> str | None:
    """Version and license of the software."""
    version = run.results["meta"]["dgccl_version"]
    return f"All figures are by DG-CCL {version}, under the Apache License 2.0. The command is stated."


def technical_details(run: RunFiles, cohort: Cohort) -> str | None:
    """What of the technical details the run states, with the hash of its configuration."""
    found = run.run.get("config_sha256")
    return joined(
        "Command, configuration, environment and the manifest of the cohort are stated.",
        f"SHA-256 of the configuration: {found}." if found else "",
    )


def software(run: RunFiles, cohort: Cohort) -> str | None:
    """Packages with versions, and the device."""
    environment = run.environment
    packages = {"DG-CCL": run.results["meta"]["dgccl_version"], "Python": environment.get("python", "")}
    packages |= {name: found for name, found in environment.get("packages", {}).items() if name != "dgccl"}
    listed = ", ".join(f"{name} {found}" for name, found in packages.items() if found)
    device = environment.get("device_name") or environment.get("device")
    return joined(f"Software: {listed}.", f"Device: {device}." if device else "")


def _modality_settings(run: RunFiles) -> list[tuple[str, dict[str, Any]]]:
    return [(text.modality_name(name), settings) for name, settings in run.config["modalities"].items()]


def _encoders(run: RunFiles) -> str:
    said = []
    for words, settings in _modality_settings(run):
        if settings["quantity"] == TABLE:
            said.append(f"Encoder of {words}: one hidden layer on the columns of a table.")
        elif settings.get("encoder") in ENCODERS:
            said.append(f"Encoder of {words}: {ENCODERS[settings['encoder']]}.")
    return " ".join(said)


def _fusion(run: RunFiles) -> str:
    """What joins the modalities in DG-CCL, where that was trained."""
    model = run.config["model"]
    if "dgccl" not in run.models or not {"cross_attention", "gate", "embedding_width"} <= set(model):
        return ""
    attention = (
        f"cross-attention of {text.count(model['attention_heads'], 'head')}"
        if model["cross_attention"]
        else "no cross-attention"
    )
    return f"DG-CCL fuses embeddings {model['embedding_width']} wide: {attention}, {GATES[model['gate']]}."


def _networks(run: RunFiles) -> str:
    """How many networks were trained, and for how many epochs."""
    epochs = run.history.groupby(["model", "fold"])["epoch"].nunique()
    if epochs.empty:
        return ""
    trained = text.count(len(epochs), "network")
    return (
        f"Trained: {trained}, one for each model and fold, for {span([int(n) for n in epochs])} epochs each."
    )


def _optimizer(run: RunFiles) -> str:
    settings = run.config["training"]
    if not {"learning_rate", "weight_decay", "batch_size"} <= set(settings):
        return ""
    return (
        f"AdamW with learning rate {settings['learning_rate']}, weight decay {settings['weight_decay']} and batches of "
        f"{settings['batch_size']}."
    )


def _augmentation(run: RunFiles) -> str:
    settings = run.config.get("augmentation", {})
    images = [entry for _, entry in _modality_settings(run) if entry["quantity"] != TABLE]
    if not images or not {"rotation_deg", "translation_fraction", "scale"} <= set(settings):
        return ""
    degrees = plain(settings["rotation_deg"])
    low, high = (plain(end) for end in settings["scale"])
    return " ".join(
        [
            "Augmentation of images, one pose for all modalities of a lesion: "
            f"turned by up to {degrees} degrees, shifted by up to {percent(settings['translation_fraction'])}, "
            f"scaled by {low} to {high}.",
            *["Half of the poses are mirrored, left and right."] * bool(settings.get("flip")),
        ]
    )


def _contrast(run: RunFiles) -> str:
    weight = run.config["model"].get("contrastive_weight")
    if not weight or "dgccl" not in run.models or len(run.modalities) < 2:
        return ""
    return f"The loss of DG-CCL adds the contrastive term with weight {weight} to the cross-entropy."


def _poses(run: RunFiles) -> str:
    poses = int(run.config.get("prediction", {}).get("poses", 1))
    return f"Probabilities are means over {poses} poses of a lesion." if poses > 1 else ""
