"""Image encoders: one image of a modality becomes tokens (B, T, token_width).

MONAI is imported where its networks are built: the import takes seconds, and the small network needs none of it.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from dgccl.config import ImageConfig, ModalityConfig, TableConfig
from dgccl.model.table import TableEncoder

PYRAMID_BINS = (1, 2, 4)
VIT_PATCH_PX = 16
VIT_LAYERS = 12
VIT_HEAD_WIDTH = 64  # 6 heads at the published width of 384


def pyramid_pool(
    features: Float[Tensor, "batch channel *edges"],
) -> Float[Tensor, "batch _token channel"]:
    """Maximum over 1 x 1, 2 x 2 and 4 x 4 bins, one token a bin, coarse to fine and row by row.

    Args:
        features: feature maps (B, C, H, W) or (B, C, D, H, W) of any size.

    Returns:
        Tokens (B, 21, C), or (B, 73, C) of cubes.

    Source: He et al. 2014, Spatial pyramid pooling in deep convolutional networks, arXiv:1406.4729.
    """
    adaptive = F.adaptive_max_pool2d if features.dim() == 4 else F.adaptive_max_pool3d
    levels = [adaptive(features, bins).flatten(2) for bins in PYRAMID_BINS]
    return torch.cat(levels, dim=2).transpose(1, 2)


class PyramidTokens(nn.Module):
    """Spatial pyramid pooling whose tokens know which bin they are.

    Without the learned bin embedding attention could not tell a corner of the image from its center.

    Args:
        width: channels of the feature maps and of the tokens.
        edges: 2 for planes, 3 for cubes.
    """

    def __init__(self, width: int, *, edges: int = 2) -> None:
        super().__init__()
        self.token_count = sum(bins**edges for bins in PYRAMID_BINS)
        self.bin_embedding = nn.Parameter(torch.empty(1, self.token_count, width))
        nn.init.trunc_normal_(self.bin_embedding, std=0.02)

    def forward(
        self, features: Float[Tensor, "batch channel *edges"]
    ) -> Float[Tensor, "batch _token channel"]:
        """Tokens (B, 21, C) of feature maps (B, C, H, W); (B, 73, C) of (B, C, D, H, W)."""
        return pyramid_pool(features) + self.bin_embedding


class AverageToken(nn.Module):
    """One token: the mean of the feature maps."""

    token_count = 1

    def forward(self, features: Float[Tensor, "batch channel *edges"]) -> Float[Tensor, "batch 1 channel"]:
        """Token (B, 1, C) of feature maps of any size."""
        return features.flatten(2).mean(dim=2)[:, None]


def build_pooling(pooling: str, width: int, *, edges: int = 2) -> PyramidTokens | AverageToken:
    """Pooling by its name in the configuration, for feature maps of `width` channels."""
    return PyramidTokens(width, edges=edges) if pooling == "pyramid" else AverageToken()


class ResNet50Spp(nn.Module):
    """ResNet-50 up to and including stage 3 (stride 16, 1024 channels), then pyramid tokens.

    Args:
        channels: planes of the input image.
        pooling: `pyramid` or `average`.

    Source: He et al. 2015, arXiv:1512.03385; the layers are MONAI's.
    """

    def __init__(self, channels: int, *, pooling: str = "pyramid") -> None:
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
        self.tokens = build_pooling(pooling, 1024)
        self.token_count = self.tokens.token_count

    def forward(
        self, image: Float[Tensor, "batch channel height width"]
    ) -> Float[Tensor, "batch _token token_width"]:
        """Tokens (B, 21, 1024) of images (B, channels, H, W); one token with average pooling."""
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
    """Two convolutions of edge 3 with a shortcut, in 2-D or 3-D."""

    def __init__(self, width_in: int, width_out: int, *, edges: int) -> None:
        super().__init__()
        conv, norm = LAYERS[edges][:2]
        self.body = nn.Sequential(
            conv(width_in, width_out, 3, padding=1, bias=False),
            norm(width_out),
            nn.ReLU(),
            conv(width_out, width_out, 3, padding=1, bias=False),
            norm(width_out),
        )
        self.shortcut = nn.Identity() if width_in == width_out else conv(width_in, width_out, 1, bias=False)

    def forward(self, x: Float[Tensor, "batch _in *edges"]) -> Float[Tensor, "batch _out *edges"]:
        return F.relu(self.body(x) + self.shortcut(x))


class SmallCnn(nn.Module):
    """A residual network of three stages (stride 8) for lesions a few pixels wide, then pooled to tokens.

    The first convolution keeps every pixel, and averages of 2 x 2, not strides, shrink the maps, so that a
    lesion of few pixels does not fall between samples. BatchNorm, not GroupNorm: normalizing each image by
    itself would take away its absolute level, which is what SUV is.

    Args:
        channels: planes of the input image.
        encoder_width: channels of the last stage, a multiple of 4.
        token_width: width of the tokens.
        pooling: `pyramid` or `average`.
        edges: 2 for planes, 3 for cubes.
    """

    def __init__(
        self, channels: int, *, encoder_width: int, token_width: int, pooling: str = "pyramid", edges: int = 2
    ) -> None:
        super().__init__()
        narrow, middle = encoder_width // 4, encoder_width // 2
        conv, norm, average = LAYERS[edges]
        self.trunk = nn.Sequential(
            conv(channels, narrow, 3, padding=1, bias=False),
            norm(narrow),
            nn.ReLU(),
            average(2),
            _ResidualBlock(narrow, narrow, edges=edges),
            average(2),
            _ResidualBlock(narrow, middle, edges=edges),
            average(2),
            _ResidualBlock(middle, encoder_width, edges=edges),
        )
        for module in self.trunk.modules():
            if isinstance(module, nn.Conv2d | nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.tokens = build_pooling(pooling, encoder_width, edges=edges)
        self.token_count = self.tokens.token_count
        self.output = nn.Identity() if encoder_width == token_width else nn.Linear(encoder_width, token_width)

    def forward(
        self, image: Float[Tensor, "batch channel *edges"]
    ) -> Float[Tensor, "batch _token token_width"]:
        """Tokens (B, 21, token_width) of images (B, channels, H, W), or of cubes (B, 1, D, H, W)."""
        return self.output(self.tokens(self.trunk(image)))


class SharedPlanes(nn.Module):
    """Shows planes one by one to one encoder and keeps the tokens of all.

    A lesion looks much alike from three sides, so that sharing the weights triples what each of them learns from.

    Args:
        encoder: of one plane.
        planes: number of planes.
    """

    def __init__(self, encoder: nn.Module, planes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.planes = planes
        self.token_count = planes * int(encoder.token_count)  # type: ignore[arg-type]

    def forward(
        self, image: Float[Tensor, "batch plane *shape"]
    ) -> Float[Tensor, "batch _token token_width"]:
        """Tokens (B, planes x T, token_width) of images (B, planes, H, W) or (B, planes, channels, H, W)."""
        each = image.flatten(0, 1)
        tokens = self.encoder(each[:, None] if each.dim() == 3 else each)
        return tokens.reshape(len(image), self.token_count, -1)


LAYERS: dict[int, tuple[type[nn.Module], type[nn.Module], type[nn.Module]]] = {
    2: (nn.Conv2d, nn.BatchNorm2d, nn.AvgPool2d),
    3: (nn.Conv3d, nn.BatchNorm3d, nn.AvgPool3d),
}
"""Convolution, normalization and pooling of images by their number of edges."""

Encoder = ResNet50Spp | VitSmall | SmallCnn | SharedPlanes | TableEncoder


def build_encoder(config: ModalityConfig) -> Encoder:
    """Encoder of one modality.

    Args:
        config: the modality's settings.

    Returns:
        A module that maps (B, *input_shape) to tokens (B, token_count, token_width).
    """
    if isinstance(config, TableConfig):
        return TableEncoder(config)
    if config.planes == "shared" and config.channels > 1:
        return SharedPlanes(build_image_encoder(config, channels=1), config.channels)
    return build_image_encoder(config, channels=config.channels)


def build_image_encoder(config: ImageConfig, *, channels: int) -> ResNet50Spp | VitSmall | SmallCnn:
    """Encoder of images with some number of channels, whatever planes the modality shows."""
    if config.encoder == "resnet50_spp":
        return ResNet50Spp(channels, pooling=config.pooling)
    if config.encoder == "vit_small":
        return VitSmall(
            channels,
            input_px=config.input_px,
            encoder_width=config.encoder_width,
            token_width=config.token_width,
        )
    return SmallCnn(
        channels,
        encoder_width=config.encoder_width,
        token_width=config.token_width,
        pooling=config.pooling,
        edges=3 if config.view == "volume" else 2,
    )
