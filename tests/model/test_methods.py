"""Every method under one interface: images, cubes and tables, any of them missing, any number of classes."""

import pytest
import torch
from torch.nn import functional as F

from dgccl.config import FUSION_MODELS, ExperimentConfig
from dgccl.errors import ConfigError, TrainingError
from dgccl.model import Objective, build_model, load_weights, save_weights, training_loss
from dgccl.model.cost import measure_cost
from dgccl.model.factory import fit_tables
from dgccl.model.fusion import StaticGate
from dgccl.model.table import TableEncoder

IMAGE = {"encoder_width": 8, "token_width": 8, "input_px": 32}
MODALITIES = {
    "ct": IMAGE | {"quantity": "hu", "window": (-1000, 1000), "field_mm": 40.0},
    "pet": IMAGE | {"quantity": "suv_bw", "window": (0, 10), "field_mm": 48.0, "input_px": 16},
    "mr": IMAGE | {"quantity": "intensity", "window": (-2, 2)},
    "cube": IMAGE | {"quantity": "hu", "window": (-1000, 1000), "view": "volume", "input_px": 16},
    "clinical": {
        "quantity": "table",
        "numbers": ("age_years", "pack_years"),
        "categories": {"sex": ("F", "M")},
    },
    "markers": {"quantity": "table", "numbers": ("cea_ng_ml",)},
}
SETS = {
    "images": ("ct", "pet"),
    "tables": ("clinical", "markers"),
    "mixed": ("ct", "pet", "clinical"),
    "cube": ("cube", "markers"),
    "three": ("ct", "pet", "mr"),
}


def make(
    names: tuple[str, ...], *, image: dict[str, object] | None = None, **model: object
) -> ExperimentConfig:
    """A small experiment; `image` changes the settings of its images, `model` those of the model."""
    return ExperimentConfig.model_validate(
        {
            "name": "methods",
            "models": [f"single_{names[0]}"],
            "modalities": {
                name: MODALITIES[name] | (image or {} if "window" in MODALITIES[name] else {})
                for name in names
            },
            "model": {"embedding_width": 16, "attention_heads": 4, "head_hidden": 8, "dropout": 0.0, **model},
        }
    )


def batch(config: ExperimentConfig, size: int = 12, *, missing: bool = True):
    generator = torch.Generator().manual_seed(0)
    inputs = {
        name: torch.rand(size, *modality.input_shape, generator=generator)
        for name, modality in config.modalities.items()
    }
    for name, table in config.tables.items():
        for column, levels in enumerate(table.categories.values(), start=len(table.numbers)):
            inputs[name][:, column] = torch.arange(size) % len(levels)
        inputs[name][::5, 0] = torch.nan  # a missing entry
    present = torch.ones(size, len(inputs), dtype=torch.bool)
    if missing:
        present[1::4, 1:] = False
        present[2::4, :-1] = False
    return inputs, present, torch.arange(size) % config.model.classes


def cases() -> list:
    found = []
    for kind, names in SETS.items():
        for model in (*FUSION_MODELS, *(f"single_{name}" for name in names)):
            if not (model == "early_fusion" and kind in ("mixed", "cube")):
                found.append(pytest.param(model, names, id=f"{model}-{kind}"))
    return found


def build(config: ExperimentConfig, name: str):
    torch.manual_seed(0)
    return build_model(config, name)


def tensors_of(output) -> dict[str, torch.Tensor]:
    return {key: value for key, value in vars(output).items() if value is not None}


@pytest.mark.parametrize(("name", "names"), cases())
def test_an_absent_input_is_never_read(name, names):
    """Whatever stands in its place, and in whatever mode, every output and every statistic has the same bits."""
    config = make(names)
    inputs, present, _ = batch(config)
    for training in (False, True):
        outputs, states = [], []
        for filler in (0.0, 1e6, float("nan")):
            given = {key: value.clone() for key, value in inputs.items()}
            for index, value in enumerate(given.values()):
                value[~present[:, index]] = filler
            model = build(config, name).train(training)
            torch.manual_seed(1)
            outputs.append(tensors_of(model(given, present)))
            states.append(model.state_dict())
        for other_output, other_state in zip(outputs[1:], states[1:], strict=True):
            assert outputs[0].keys() == other_output.keys()
            for key, value in outputs[0].items():
                assert torch.equal(value, other_output[key]), key
            for key, value in states[0].items():
                assert torch.equal(value, other_state[key]), key


@pytest.mark.parametrize(("name", "names"), cases())
def test_an_absent_modality_is_not_one_of_zeros(name, names):
    config = make(names)
    model = build(config, name).eval()
    if name == "gated_residual":  # its residual starts at 0; what it adds must show too
        torch.nn.init.normal_(model.residual.output.weight)
    inputs, present, _ = batch(config, missing=False)
    own = names.index(name.removeprefix("single_")) if name.startswith("single_") else 1
    inputs[names[own]] = torch.zeros_like(inputs[names[own]])
    without = present.clone()
    without[:, own] = False
    assert (model(inputs, present).logits - model(inputs, without).logits).abs().max() > 1e-5


@pytest.mark.parametrize(("name", "names"), cases())
def test_interface(name, names):
    config = make(names, classes=4)
    model = build(config, name).eval()
    inputs, present, _ = batch(config)
    output = model(inputs, present)
    assert output.logits.shape == (12, 4)
    torch.testing.assert_close(output.probability.sum(dim=1), torch.ones(12))
    if output.gate_weights is not None:
        torch.testing.assert_close(output.gate_weights.sum(dim=1), torch.ones(12))
        assert torch.all(output.gate_weights[~present] == 0)
    if output.embeddings is not None:
        assert output.embeddings.shape == (12, len(names), 16)
        assert torch.all(output.embeddings[~present] == 0)
    else:
        assert name == "early_fusion"
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    shuffled = model({key: value[order] for key, value in inputs.items()}, present[order])
    torch.testing.assert_close(shuffled.logits, output.logits[order])
    alone = model({key: value[2:3] for key, value in inputs.items()}, present[2:3])
    torch.testing.assert_close(alone.logits[0], output.logits[2])


@pytest.mark.parametrize(("name", "names"), cases())
def test_every_parameter_learns(name, names):
    config = make(names)
    model = build(config, name)
    if name == "gated_residual":
        torch.nn.init.normal_(model.residual.output.weight)  # at 0 it passes no gradient to what is behind it
    inputs, present, y_true = batch(config)
    loss = training_loss(model(inputs, present), y_true, present, config.model).total
    loss.backward()
    frozen = {"fusion.gate.scores"} if name == "cross_attention" else set()
    # Over a single key the softmax is 1: what the query says cannot matter.
    single_key = {"fusion.attention.query_norm.weight", "fusion.attention.query_norm.bias"}
    idle = single_key if names[1:] in (("markers",),) else set()
    for key, parameter in model.named_parameters():
        assert parameter.requires_grad != (key in frozen), key
        if parameter.requires_grad:
            assert parameter.grad is not None, key
            assert torch.isfinite(parameter.grad).all(), key
            assert key in idle or parameter.grad.abs().max() > 0, key


@pytest.mark.parametrize(("name", "names"), cases())
def test_weights_come_back(name, names, tmp_path):
    config = make(names)
    model = build(config, name)
    inputs, present, _ = batch(config)
    fit_tables(model, {key: inputs[key] for key in config.tables}, present)
    save_weights(model, tmp_path / "w.safetensors", metadata={})
    torch.manual_seed(5)
    other = build_model(config, name)
    load_weights(other, tmp_path / "w.safetensors")
    expected = model.eval()(inputs, present).logits
    assert torch.equal(other.eval()(inputs, present).logits, expected)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"window": (-900, 900)}, "ct.window"),
        ({"quantity": "intensity"}, "ct.quantity"),
        ({"field_mm": 20.0}, "ct.field"),
    ],
)
def test_weights_of_another_normalization_are_refused(tmp_path, change, key):
    """The tensors would fit; the numbers that they were trained on would not."""
    config = make(("ct", "pet"))
    save_weights(build(config, "dgccl"), tmp_path / "w.safetensors", metadata={})
    changed = config.modalities["ct"].model_copy(update=change)
    other = config.model_copy(update={"modalities": {"ct": changed, "pet": config.modalities["pet"]}})
    with pytest.raises(TrainingError, match=key) as caught:
        load_weights(build(other, "dgccl"), tmp_path / "w.safetensors")
    assert caught.value.code == "wrong_architecture"


def test_summed_logits_count_the_prior_once():
    config = make(("ct", "pet"))
    model = build(config, "summed_logits").eval()
    model.fit_prior(torch.tensor([0, 0, 0, 0, 1]))
    inputs, present, _ = batch(config)
    output = model(inputs, present)
    log_prior = torch.tensor([5 / 7, 2 / 7]).log()
    torch.testing.assert_close(output.logits[0], output.modality_logits[0].sum(dim=0) - log_prior)
    torch.testing.assert_close(output.logits[1], output.modality_logits[1, 0])


def test_gated_residual_starts_as_the_weighed_sum_and_ends_alone_as_one_modality():
    config = make(("ct", "pet"))
    model = build(config, "gated_residual").eval()
    inputs, present, _ = batch(config)
    output = model(inputs, present)
    count = present.sum(dim=1)[:, None, None]
    weighed = (count * output.gate_weights[..., None] * output.modality_logits).sum(dim=1)
    torch.testing.assert_close(output.logits, weighed)
    torch.nn.init.normal_(model.residual.output.weight)
    alone = model(inputs, present)
    assert torch.equal(alone.logits[1], output.modality_logits[1, 0])
    assert torch.equal(alone.logits[2], output.modality_logits[2, 1])
    assert (alone.logits[0] - output.logits[0]).abs().max() > 1e-3


def test_a_single_modality_says_nothing_without_it():
    config = make(("ct", "pet"))
    model = build(config, "single_pet").eval()
    inputs, present, y_true = batch(config)
    output = model(inputs, present)
    lacking = ~present[:, 1]
    assert torch.all(output.logits[lacking] == 0)
    changed = inputs | {"ct": torch.rand_like(inputs["ct"])}
    assert torch.equal(model(changed, present).logits, output.logits)
    own = F.cross_entropy(output.logits[~lacking], y_true[~lacking])
    torch.testing.assert_close(training_loss(output, y_true, present, config.model).total, own)


def test_product_of_experts_leans_on_the_surer_expert():
    config = make(("ct", "pet"))
    model = build(config, "product_of_experts").eval()
    inputs, present, _ = batch(config, missing=False)
    torch.testing.assert_close(model(inputs, present).gate_weights, torch.full((12, 2), 0.5))
    torch.nn.init.constant_(model.log_precision[1].bias, 3.0)
    output = model(inputs, present)
    assert torch.all(output.gate_weights[:, 1] > 0.9)
    precision = torch.tensor([1.0, torch.tensor(3.0).exp().item()])
    expected = (precision[:, None] * output.embeddings[0]).sum(dim=0) / (1.0 + precision.sum())
    torch.testing.assert_close(output.fused[0], expected)


def test_early_fusion_sees_modalities_at_equal_places():
    """A spot 8 mm off center lies on one pixel of the common grid, whichever modality shows it."""
    config = make(("ct", "pet"))
    model = build(config, "early_fusion").eval()
    seen = {}
    model.join.encoder.register_forward_pre_hook(lambda _module, arguments: seen.update(x=arguments[0]))
    inputs, present, _ = batch(config, 2, missing=False)
    for name, settings in config.images.items():
        step = settings.field_mm / settings.input_px
        at = (torch.arange(settings.input_px) + 0.5) * step - settings.field_mm / 2
        inputs[name] = torch.exp(-(((at - 8.0) / 8.0) ** 2)).expand(2, 3, settings.input_px, -1).clone()
    model(inputs, present)
    ct, pet = seen["x"][0, 0], seen["x"][0, 4]
    assert torch.all(seen["x"][:, [3, 7]] == 1)  # both flags
    torch.testing.assert_close(ct[16], pet[16], atol=0.05, rtol=0)
    assert ct[16].argmax() == 22  # (22 + 0.5) * 40 mm / 32 - 20 mm = 8.1 mm


@pytest.mark.parametrize("names", [("ct", "clinical"), ("cube", "ct")])
def test_early_fusion_needs_one_grid(names):
    with pytest.raises(ConfigError) as caught:
        build(make(names), "early_fusion")
    assert caught.value.code == "no_common_grid"


@pytest.mark.parametrize(
    "name", [name for name in FUSION_MODELS if "late" not in name and "summed" not in name]
)
def test_what_fuses_needs_two_modalities(name):
    with pytest.raises(ConfigError) as caught:
        build(make(("ct",)), name)
    assert caught.value.code == "too_few_modalities"


def test_ablations_take_their_part_out():
    inputs, present, _ = batch(make(("ct", "pet")))
    full = build(make(("ct", "pet")), "dgccl")
    keys = set(full.state_dict())

    def without(**model: object) -> set[str]:
        return keys - set(build(make(("ct", "pet"), **model), "dgccl").state_dict())

    assert all(key.startswith("fusion.attention") for key in without(cross_attention=False))
    assert without(cross_attention=False)
    assert all(key.startswith("fusion.compensation") for key in without(compensation_weight=0.0))
    assert without(compensation_weight=0.0)
    equal = build(make(("ct", "pet"), gate="equal"), "dgccl").eval()
    torch.testing.assert_close(equal(inputs, present).gate_weights[0], torch.tensor([0.5, 0.5]))
    static = build(make(("ct", "pet"), gate="static"), "dgccl").eval()
    with torch.no_grad():
        static.fusion.gate.scores.copy_(torch.tensor([0.0, 1.0]))
    weights = static(inputs, present).gate_weights
    torch.testing.assert_close(weights[0], torch.tensor([0.0, 1.0]).softmax(dim=0))
    assert torch.equal(weights[0], weights[3])
    plain = make(("ct", "pet"), image={"pooling": "average"})
    assert build(plain, "dgccl").encoders.branches["ct"].token_count == 1
    assert full.encoders.branches["ct"].token_count == 21


def test_a_static_gate_that_is_not_learned_stays():
    assert not StaticGate(3, learned=False).scores.requires_grad
    assert StaticGate(3, learned=True).scores.requires_grad


def test_objective_remembers_what_a_classifier_need_not():
    config = make(("ct", "pet"), invariance_weight=0.3, queue_size=16)
    model = build(config, "dgccl")
    objective = Objective(config.model, modalities=2)
    inputs, present, y_true = batch(config)
    first = objective(model(inputs, present), y_true, present)
    later = objective(model(inputs, present), y_true, present)
    assert later.contrastive > first.contrastive  # more to be told apart from
    later.total.backward()
    assert all(p.grad.abs().max() > 0 for p in objective.parameters())
    assert not [key for key in model.state_dict() if "queue" in key or "discriminator" in key]
    expected = (
        first.cross_entropy + 0.1 * first.contrastive + 0.1 * first.compensation + 0.3 * first.invariance
    )
    torch.testing.assert_close(first.total, expected)


def test_distillation_teaches_the_single_modality_and_not_the_joint_verdict():
    config = make(("ct", "pet"), distillation_weight=1.0, auxiliary_weight=0.0, contrastive_weight=0.0)
    model = build(config, "gated_residual")
    inputs, present, y_true = batch(config)
    output = model(inputs, present)
    terms = training_loss(output, y_true, present, config.model)
    whole = present.all(dim=1)
    target = output.logits[whole].detach().softmax(dim=1)[:, None]
    own = output.modality_logits[whole].softmax(dim=2)
    expected = (target * (target.log() - own.log())).sum(dim=2).mean()
    torch.testing.assert_close(terms.distillation, expected)
    (gradient,) = torch.autograd.grad(terms.distillation, [model.residual.output.bias], allow_unused=True)
    assert gradient is None or torch.all(gradient == 0)


def test_table_statistics_come_from_known_training_values():
    encoder = TableEncoder(make(("clinical", "markers")).tables["clinical"])
    table = torch.tensor([[60.0, 10.0, 0.0], [70.0, torch.nan, 1.0], [80.0, 30.0, torch.nan]])
    encoder.fit(table)
    features = encoder.features(table)
    expected = torch.tensor([-1.2247449, 0.0, 1.2247449])
    torch.testing.assert_close(features[:, 0], expected)
    torch.testing.assert_close(features[:, 1], torch.tensor([-1.0, 0.0, 1.0]))
    assert features[:, 3].tolist() == [0.0, 1.0, 0.0]  # which number is missing
    assert features[:, 4:].tolist() == [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]
    encoder.fit(torch.full((4, 3), 5.0))
    assert torch.all(encoder.features(table)[:, :2] == 0)  # a constant column tells nothing


def test_costs_by_part():
    """At the published widths a gate over two vectors takes a twelfth of a fully connected layer's work."""
    config = make(
        ("ct", "pet"), embedding_width=64, gate_hidden=64, cross_attention=False, compensation_weight=0.0
    )
    gate = measure_cost(build(config, "dgccl"), config)
    full = measure_cost(build(config, "concatenation"), config)
    assert gate.flops_by_part["fusion"] == 2 * (128 * 64 + 64 * 2) + 2 * 2 * 64  # gate, weighted sum
    assert full.flops_by_part["fusion"] == 2 * 130 * 64
    assert gate.flops_by_part["encoders"] == full.flops_by_part["encoders"]
    assert sum(gate.flops_by_part.values()) == gate.flops
    attention = config.model_copy(update={"model": config.model.model_copy(update={"cross_attention": True})})
    more = measure_cost(build(attention, "dgccl"), attention)
    width, queries, keys = 64, 21, 21
    products = 2 * width * width * (2 * queries + 2 * keys) + 2 * 2 * queries * keys * width
    pooling = 2 * queries * width
    assert more.flops - gate.flops == products + pooling
