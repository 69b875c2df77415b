"""Encoders: shapes, parameter counts against published ones, sensitivity to what is small."""

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from dgccl.config import ImageConfig
from dgccl.model.branch import ModalityBranch, pool
from dgccl.model.encoder import ResNet50Spp, SmallCnn, VitSmall, pyramid_pool


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.fixture
def no_memory() -> Iterator[None]:
    """Networks are built without values: counting needs none."""
    with torch.device("meta"):
        yield


@pytest.mark.usefixtures("no_memory")
def test_resnet50_stages_1_to_3_have_the_published_size():
    # torchvision's ResNet-50 has 25,557,032 parameters, of which layer4 has 14,964,736 and fc 2,049,000: 8,543,296
    # remain. One input plane instead of three spares 2 x 64 x 7 x 7 = 6,272 in the first convolution.
    assert count(ResNet50Spp(3).trunk) == 25_557_032 - 14_964_736 - 2_049_000
    encoder = ResNet50Spp(1)
    assert count(encoder.trunk) == 8_543_296 - 6_272
    assert count(encoder.tokens) == 21 * 1024


@pytest.mark.usefixtures("no_memory")
def test_vit_small_has_the_published_size():
    # timm's vit_small_patch16_224 has 22,050,664 parameters. Without its head (384 x 1000 + 1000), class token (384)
    # and position embedding (197 x 384), with one input plane instead of three (2 x 16 x 16 x 384 fewer) and 64
    # positions (64 x 384) instead, the trunk remains.
    published = 22_050_664 - 385_000 - 384 - 197 * 384
    encoder = VitSmall(1, input_px=128, encoder_width=384, token_width=768)
    assert count(encoder.trunk) == published - 2 * 256 * 384 + 64 * 384 == 21_417_600
    assert count(encoder.output) == 384 * 768 + 768


def test_paper_encoders_give_the_published_shapes(paper_model):
    image = torch.rand(2, 1, 128, 128)
    for name, tokens, width in (("ct", 21, 1024), ("pet", 64, 768)):
        branch = paper_model.encoders.branches[name]
        assert branch.token_count == tokens
        assert branch.encoder(image).shape == (2, tokens, width)
        projected, weights = branch(image)
        assert projected.shape == (2, tokens, 768)
        torch.testing.assert_close(weights.sum(dim=1), torch.ones(2))


@pytest.mark.usefixtures("no_memory")
def test_resnet50_trunk_has_stride_16():
    assert ResNet50Spp(1).trunk(torch.rand(2, 1, 128, 128)).shape == (2, 1024, 8, 8)


def test_pooling_then_projecting_equals_projecting_then_pooling(small):
    torch.manual_seed(0)
    branch = ModalityBranch(small.modalities["ct"], width=32).eval()
    nn.init.normal_(branch.token_score.weight)
    image = torch.rand(3, 3, 48, 48)
    projected, weights = branch(image)
    described = branch.projection(pool(branch.encoder(image), weights))
    torch.testing.assert_close(pool(projected, weights), described)


def test_pyramid_tokens_are_the_maxima_of_their_bins():
    features = torch.arange(2 * 3 * 8 * 8, dtype=torch.float32).reshape(2, 3, 8, 8)
    tokens = pyramid_pool(features)
    assert tokens.shape == (2, 21, 3)
    assert torch.equal(tokens[:, 0], features.amax(dim=(2, 3)))
    assert torch.equal(tokens[:, 2], features[:, :, :4, 4:].amax(dim=(2, 3)))  # 2 x 2: upper right
    assert torch.equal(tokens[:, -1], features[:, :, 6:, 6:].amax(dim=(2, 3)))  # 4 x 4: lower right


def test_pyramid_tokens_do_not_depend_on_the_size_of_the_image():
    torch.manual_seed(0)
    encoder = SmallCnn(3, encoder_width=16, token_width=24)
    assert encoder(torch.rand(2, 3, 64, 64)).shape == encoder(torch.rand(2, 3, 80, 56)).shape == (2, 21, 24)


def test_small_cnn_keeps_the_absolute_level_of_an_image():
    """Twice the SUV everywhere is another image (a network that normalizes each image by itself would miss it)."""
    torch.manual_seed(0)
    encoder = SmallCnn(1, encoder_width=16, token_width=16).eval()
    image = torch.rand(1, 1, 32, 32)
    once, twice = encoder(image), encoder(2 * image)
    assert (twice - once).norm() > 0.3 * once.norm()


def test_small_cnn_sees_a_single_pixel_wherever_it_lies():
    torch.manual_seed(0)
    encoder = SmallCnn(1, encoder_width=16, token_width=16).eval()
    background = encoder(torch.zeros(1, 1, 32, 32))
    images = torch.zeros(64, 1, 32, 32)
    positions = [(row, column) for row in range(12, 20) for column in range(12, 20)]
    for image, (row, column) in zip(images, positions, strict=True):
        image[0, row, column] = 1.0
    change = (encoder(images) - background).flatten(1).norm(dim=1)
    assert change.min() > 0.2 * change.max() > 0


@pytest.mark.parametrize(
    "settings",
    [
        {"encoder": "vit_small", "encoder_width": 96},
        {"encoder": "vit_small", "input_px": 40},
        {"encoder": "cnn", "input_px": 8},
        {"encoder": "cnn", "encoder_width": 30},
        {"encoder": "resnet50_spp", "token_width": 1024, "input_px": 32},
        {"encoder": "resnet50_spp", "token_width": 512},
    ],
)
def test_settings_that_an_encoder_cannot_serve_are_refused(settings):
    with pytest.raises(ValueError, match=settings["encoder"]):
        ImageConfig.model_validate({"quantity": "hu", "window": (0, 1), **settings})
