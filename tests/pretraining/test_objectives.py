"""The objectives: gradients, the teacher, the normalized targets, the spread."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dgccl.config import ExperimentConfig
from dgccl.errors import ConfigError
from dgccl.model.branch import Encoded
from dgccl.model.contrastive import nt_xent
from dgccl.pretraining.encoders import EncodersAlone, averaged_momentum, follow
from dgccl.pretraining.objectives import PretrainingObjective, embedding_spread, latent_distance

from ..tiny_cohort import tiny_config
from .conftest import every_modality, pretraining_experiment

PRESENT = torch.tensor([[True, True], [True, True], [True, False], [False, True], [True, True]])


def inputs(config: ExperimentConfig, count: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    return {
        name: torch.rand(count, *modality.input_shape, generator=generator)
        for name, modality in config.modalities.items()
    }


def encode(config: ExperimentConfig, seed: int) -> tuple[EncodersAlone, Encoded]:
    torch.manual_seed(seed)
    encoders = EncodersAlone(config)
    return encoders, encoders(inputs(config, len(PRESENT)), PRESENT)


def standardized(target: torch.Tensor) -> torch.Tensor:
    """Mean 0 and variance 1 over lesions."""
    return (target - target.mean(dim=0)) / target.var(dim=0, correction=0).sqrt()


def hidden_shares() -> tuple[torch.Tensor, ...]:
    return tuple(torch.rand(5, 21, generator=torch.Generator().manual_seed(i)) for i in range(2))


def test_terms_are_what_they_say() -> None:
    config = pretraining_experiment(contrastive_weight=2.0, masked_weight=3.0, cross_weight=0.25)
    objective = PretrainingObjective(config)
    (_, whole), (_, masked), (_, teacher) = (encode(config, seed) for seed in range(3))
    hidden = hidden_shares()
    terms = objective(whole, masked, teacher, PRESENT, hidden=hidden, lesion_ids=torch.arange(5))
    pairs = PRESENT.all(dim=1)
    expected = nt_xent(whole.embeddings[pairs, 0], whole.embeddings[pairs, 1], temperature=0.1)
    torch.testing.assert_close(terms.contrastive, expected)
    by_modality = []
    for index in range(2):
        total = weight = 0.0
        rows = PRESENT[:, index].nonzero()[:, 0]
        for row, target in zip(rows.tolist(), standardized(teacher.tokens[index][rows]), strict=True):
            tokens, embedding = masked.tokens[index][row][None], masked.embeddings[row, index][None]
            predicted = objective.predictors[index](tokens, embedding)[0]
            distance = F.smooth_l1_loss(predicted, target, reduction="none").mean(dim=1)
            total += float((distance * hidden[index][row]).sum().detach())
            weight += float(hidden[index][row].sum())
        by_modality.append(total / weight)
    assert float(terms.masked.detach()) == pytest.approx(sum(by_modality) / 2, rel=1e-3)
    forth, back = (
        F.smooth_l1_loss(
            objective.cross[index](masked.embeddings[pairs, index]),
            standardized(teacher.embeddings[pairs, 1 - index]),
        )
        for index in range(2)
    )
    torch.testing.assert_close(terms.cross, (forth + back) / 2, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(terms.total, 2 * terms.contrastive + 3 * terms.masked + 0.25 * terms.cross)


def test_gradients_reach_the_student_and_never_the_teacher() -> None:
    config = pretraining_experiment()
    objective = PretrainingObjective(config)
    (student, whole), (teacher, seen) = encode(config, 0), encode(config, 1)
    terms = objective(whole, whole, seen, PRESENT, hidden=hidden_shares(), lesion_ids=torch.arange(5))
    terms.total.backward()
    assert all(parameter.grad is None for parameter in teacher.parameters())
    for name, parameter in [*student.named_parameters(), *objective.named_parameters()]:
        assert parameter.grad is not None, name
        # The score by which tokens are pooled starts at zero, but its gradient does not.
        assert parameter.grad.abs().sum() > 0, name


def test_what_is_absent_or_in_sight_weighs_nothing() -> None:
    config = pretraining_experiment(contrastive_weight=0.0, cross_weight=0.0)
    objective = PretrainingObjective(config)
    (_, masked), (_, teacher) = encode(config, 0), encode(config, 1)
    hidden = hidden_shares()
    hidden[0][:, 3] = 0.0
    ids = torch.arange(5)
    before = objective(None, masked, teacher, PRESENT, hidden=hidden, lesion_ids=ids)
    tokens = [t.clone() for t in teacher.tokens]
    tokens[0][3], tokens[1][2], tokens[0][:, 3] = 9.0, -9.0, torch.arange(8.0)
    spoiled = Encoded(tuple(tokens), teacher.token_weights, teacher.embeddings)
    after = objective(None, masked, spoiled, PRESENT, hidden=hidden, lesion_ids=ids)
    assert torch.equal(before.total, after.total)
    assert (before.contrastive, before.cross) == (0.0, 0.0)


def test_targets_are_standardized_and_one_answer_for_all_lesions_is_a_bad_one() -> None:
    generator = torch.Generator().manual_seed(0)
    predicted, target = torch.randn(2, 50, 4, 8, generator=generator)
    moved = 5.0 * target + torch.randn(4, 8, generator=generator)
    torch.testing.assert_close(latent_distance(predicted, target), latent_distance(predicted, moved))
    same = latent_distance(torch.zeros(50, 4, 8), 1e-3 * target)
    assert same.mean() > 0.25, "a teacher that nearly collapsed makes the task no easier"
    alone = latent_distance(predicted[:1].requires_grad_(), target[:1])
    assert alone.tolist() == [[0.0] * 4]
    assert alone.requires_grad


def test_the_teacher_follows_by_its_formula() -> None:
    torch.manual_seed(0)
    teacher, student = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    nn.init.uniform_(student.weight)
    student.running_mean.fill_(7.0)
    expected = 0.9 * teacher.weight.detach() + 0.1 * student.weight.detach()
    follow(teacher, student, momentum=0.9)
    torch.testing.assert_close(teacher.weight.detach(), expected)
    assert teacher.running_mean.abs().sum() == 0, "buffers stay"


def test_momentum_rises_to_one() -> None:
    steps = 2000
    values = [averaged_momentum(step, steps=steps, start=0.96) for step in range(1, steps + 1)]
    assert values[0] == pytest.approx(2 / 11)
    assert values == sorted(values)
    assert values[-1] == pytest.approx(1.0, abs=6e-3)
    assert values[999] == pytest.approx(min(1 - 0.04 * (math.cos(math.pi / 2) + 1) / 2, 1001 / 1010))


def test_spread_tells_collapse_from_a_full_space() -> None:
    generator = torch.Generator().manual_seed(0)
    assert embedding_spread(torch.randn(4000, 32, generator=generator)) == pytest.approx(1.0, abs=0.02)
    point = torch.randn(1, 32, generator=generator)
    assert embedding_spread(point.repeat(50, 1)) == pytest.approx(0.0, abs=1e-6)
    assert embedding_spread(point * torch.rand(50, 1, generator=generator)) == pytest.approx(0.0, abs=1e-6)


def test_a_configuration_says_what_it_cannot_do() -> None:
    with pytest.raises(ConfigError) as caught:
        PretrainingObjective(tiny_config())
    assert caught.value.code == "pretraining_not_configured"
    off = {"contrastive_weight": 0.0, "masked_weight": 0.0, "cross_weight": 0.0}
    for wrong in (
        off,
        {"contrastive_weight": 0.0, "queue_size": 4},
        {"mask_fraction": 1.0},
        {"batch_size": 1},
    ):
        with pytest.raises(ValueError):
            pretraining_experiment(**wrong)
    raw = every_modality().model_dump(mode="json")
    raw["modalities"], raw["models"] = {"ct": raw["modalities"]["ct"]}, ["single_ct"]
    with pytest.raises(ValueError, match="need two modalities"):
        ExperimentConfig.model_validate(raw)
    raw["pretraining"] |= {"contrastive_weight": 0.0, "cross_weight": 0.0}
    assert ExperimentConfig.model_validate(raw).pretraining


def test_without_the_table_a_configuration_is_written_as_before() -> None:
    assert "pretraining" not in tiny_config().model_dump(mode="json")
    again = ExperimentConfig.model_validate(pretraining_experiment().model_dump(mode="json"))
    assert again == pretraining_experiment()
