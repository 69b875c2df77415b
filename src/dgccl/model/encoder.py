"""Image encoders: one image of a modality becomes tokens (B, T, token_width).

MONAI is imported where its networks are built: the import takes seconds, and the small network needs none of it.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from dgccl.config import ModalityConfig

PYRAMID_BINS = (1, 2, 4)
PYRAMID_TOKENS = sum(bins * bins for bins in PYRAMID_BINS)
VIT_PATCH_PX = 16
VIT_LAYERS = 12
VIT_HEAD_WIDTH = 64  # 6 heads at the published width of 384


def pyramid_pool(
    features: Float[Tensor, "batch channel height width"],
) -> Float[Tensor, "batch token channel"]:
    """Maximum over 1 x 1, 2 x 2 and 4 x 4 bins, one token a bin, coarse to fine and row by row.

    Args:
        features: feature maps (B, C, H, W) of any size.

    Returns:
        Tokens (B, 21, C).

    Source: He et al. 2014, Spatial pyramid pooling in deep convolutional networks, arXiv:1406.4729.
    """
    levels = [F.adaptive_max_pool2d(features, bins).flatten(2) for bins in PYRAMID_BINS]
    return torch.cat(levels, dim=2).transpose(1, 2)


class PyramidTokens(nn.Module):
    """Spatial pyramid pooling whose tokens know which bin they are.

    Without the learned bin embedding attention could not tell a corner of the image from its center.

    Args:
        width: channels of the feature maps and of the tokens.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.bin_embedding = nn.Parameter(torch.empty(1, PYRAMID_TOKENS, width))
        nn.init.trunc_normal_(self.bin_embedding, std=0.02)

    def forward(
        self, features: Float[Tensor, "batch channel height width"]
    ) -> Float[Tensor, "batch token channel"]:
        """Tokens (B, 21, C) of feature maps (B, C, H, W)."""
        return pyramid_pool(features) + self.bin_embedding


class ResNet50Spp(nn.Module):
    """ResNet-50 up to and including stage 3 (stride 16, 1024 channels), then pyramid tokens.

    Args:
        channels: planes of the input image.

    Source: He et al. 2015, arXiv:1512.03385; the layers are MONAI's.
    """

    token_count = PYRAMID_TOKENS

    def __init__(self, channels: int) -> None:
        super().__init__()
        from monai.networks.nets.resnet import ResNet

        full = ResNet(
            block="bottleneck",
            layers=[3, 4, 6, 1],  # stage 4 is built by MONAI in any case; it is dropped below
            block_inplanes=[64, 128, 256, 512],
            spatial_dims=2,
            n_input_channels=channels,
            conv1_t_stride=2,  # MONAI's default of 1 costs four times as much and is not ResNet-50
            feed_forward=False,
            bias_downsample=False,
        )
        self.trunk = nn.Sequential(
            full.conv1, full.bn1, full.act, full.maxpool, full.layer1, full.layer2, full.layer3
        )
        self.tokens = PyramidTokens(1024)

    def forward(
        self, image: Float[Tensor, "batch channel height width"]
    ) -> Float[Tensor, "batch 21 token_width"]:
        """Tokens (B, 21, 1024) of images (B, channels, H, W)."""
        return self.tokens(self.trunk(image))


class VitSmall(nn.Module):
    """ViT-Small: 16 x 16 patches, 12 layers, one token a patch, projected to `token_width`.

    There is no class token: tokens are pooled after the attention between modalities.

    Args:
        channels: planes of the input image.
        input_px: edge of the input image, a multiple of 16 pixels.
        encoder_width: width of the trunk, 384 as published; heads are 64 wide.
        token_width: width of the tokens.

    Source: Dosovitskiy et al. 2020, arXiv:2010.11929; Touvron et al. 2020 (the small size), arXiv:2012.12877;
        the layers are MONAI's.
    """

    def __init__(self, channels: int, *, input_px: int, encoder_width: int, token_width: int) -> None:
        super().__init__()
        from monai.networks.nets.vit import ViT

        self.token_count = (input_px // VIT_PATCH_PX) ** 2
        self.trunk = ViT(
            in_channels=channels,
            img_size=(input_px, input_px),
            patch_size=(VIT_PATCH_PX, VIT_PATCH_PX),
            hidden_size=encoder_width,
            mlp_dim=4 * encoder_width,
            num_layers=VIT_LAYERS,
            num_heads=encoder_width // VIT_HEAD_WIDTH,
            spatial_dims=2,
            qkv_bias=True,
        )
        for block in self.trunk.blocks:
            # MONAI makes this layer for cross-attention and never calls it here: it would get no gradient.
            block.norm_cross_attn = nn.Identity()
        for module in self.trunk.blocks.modules():
            # MONAI leaves torch's default; the published models start from this narrower distribution.
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        self.output = nn.Linear(encoder_width, token_width)

    def forward(
        self, image: Float[Tensor, "batch channel height width"]
    ) -> Float[Tensor, "batch token token_width"]:
        """Tokens (B, (input_px / 16)^2, token_width) of images (B, channels, input_px, input_px)."""
        patches, _hidden_states = self.trunk(image)
        return self.output(patches)


class _ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions with a shortcut."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width_in, width_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(width_out),
            nn.ReLU(),
            nn.Conv2d(width_out, width_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(width_out),
        )
        self.shortcut = (
            nn.Identity() if width_in == width_out else nn.Conv2d(width_in, width_out, 1, bias=False)
        )

    def forward(self, x: Float[Tensor, "batch _in height width"]) -> Float[Tensor, "batch _out height width"]:
        return F.relu(self.body(x) + self.shortcut(x))


class SmallCnn(nn.Module):
    """A residual network of three stages (stride 8) for lesions a few pixels wide, then pyramid tokens.

    The first convolution keeps every pixel, and averages of 2 x 2, not strides, shrink the maps, so that a
    lesion of few pixels does not fall between samples. BatchNorm, not GroupNorm: normalizing each image by
    itself would take away its absolute level, which is what SUV is.

    Args:
        channels: planes of the input image.
        encoder_width: channels of the last stage, a multiple of 4.
        token_width: width of the tokens.
    """

    token_count = PYRAMID_TOKENS

    def __init__(self, channels: int, *, encoder_width: int, token_width: int) -> None:
        super().__init__()
        narrow, middle = encoder_width // 4, encoder_width // 2
        self.trunk = nn.Sequential(
            nn.Conv2d(channels, narrow, 3, padding=1, bias=False),
            nn.BatchNorm2d(narrow),
            nn.ReLU(),
            nn.AvgPool2d(2),
            _ResidualBlock(narrow, narrow),
            nn.AvgPool2d(2),
            _ResidualBlock(narrow, middle),
            nn.AvgPool2d(2),
            _ResidualBlock(middle, encoder_width),
        )
        for module in self.trunk.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.tokens = PyramidTokens(encoder_width)
        self.output = nn.Identity() if encoder_width == token_width else nn.Linear(encoder_width, token_width)

    def forward(
        self, image: Float[Tensor, "batch channel height width"]
    ) -> Float[Tensor, "batch 21 token_width"]:
        """Tokens (B, 21, token_width) of images (B, channels, H, W)."""
        return self.output(self.tokens(self.trunk(image)))


Encoder = ResNet50Spp | VitSmall | SmallCnn


def build_encoder(config: ModalityConfig) -> Encoder:
    """Encoder of one modality.

    Args:
        config: the modality's settings.

    Returns:
        A module that maps (B, channels, input_px, input_px) to tokens (B, token_count, token_width).
    """
    if config.encoder == "resnet50_spp":
        return ResNet50Spp(config.channels)
    if config.encoder == "vit_small":
        return VitSmall(
            config.channels,
            input_px=config.input_px,
            encoder_width=config.encoder_width,
            token_width=config.token_width,
        )
    return SmallCnn(config.channels, encoder_width=config.encoder_width, token_width=config.token_width)
