"""Early fusion: all modalities as channels of one image on one grid, or all tables as one row."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from dgccl.config import ExperimentConfig, ImageConfig, TableConfig
from dgccl.errors import ConfigError
from dgccl.model.branch import Inputs, build_token_score, check_inputs, pool, token_weights
from dgccl.model.classifier import ModelOutput, build_head, describe_architecture, need_two
from dgccl.model.encoder import SharedPlanes, build_image_encoder
from dgccl.model.table import TableEncoder


class EarlyFusion(nn.Module):
    """One encoder over all modalities; an absent one leaves its channels empty, and a flag says so.

    Args:
        config: the experiment; all modalities must be images of one view, or all tables.

    Raises:
        ConfigError: fewer than two modalities, or modalities that share no grid.
    """

    def __init__(self, config: ExperimentConfig) -> None:
        super().__init__()
        need_two(config, "early_fusion")
        views = {(image.view, image.planes) for image in config.images.values()}
        if config.images and (config.tables or len(views) > 1):
            raise ConfigError(
                "no_common_grid",
                f"early_fusion needs modalities on one grid; {config.name} has {len(config.tables)} tables and "
                f"{len(views)} kinds of view of its images.",
                remedy="Give all images one view and planes and leave tables out, or leave early_fusion out.",
            )
        self.architecture = describe_architecture(config, "early_fusion")
        self.input_shapes = {name: modality.input_shape for name, modality in config.modalities.items()}
        self.join = JoinedTables(config.tables) if config.tables else JoinedImages(config.images)
        self.token_score = build_token_score(self.join.encoder.token_count, self.join.token_width)
        self.projection = nn.Linear(self.join.token_width, config.model.embedding_width)
        self.head = build_head(config.model)

    def forward(self, images: Inputs, modality_present: Bool[Tensor, "batch modality"]) -> ModelOutput:
        """Classify lesions.

        Args:
            images: per modality; values of an absent modality are never read.
            modality_present: (B, M), in the order of the configuration.

        Returns:
            Logits and the one vector that stands for all modalities.

        Raises:
            TrainingError: a row has no modality, or an image is lacking or of another shape than configured.
        """
        check_inputs(self.input_shapes, images, modality_present)
        tokens = self.join(images, modality_present)
        fused = self.projection(pool(tokens, token_weights(tokens, self.token_score)))
        return ModelOutput(
            logits=self.head(fused),
            gate_weights=None,
            embeddings=None,
            predicted_embeddings=None,
            fused=fused,
            modality_logits=None,
        )


class JoinedImages(nn.Module):
    """Tokens of all images as channels of one, on the grid of the first, each with a channel that says it is there.

    Images are brought to that grid by linear interpolation at equal physical places, since each modality is
    sampled over a field of its own.

    Args:
        images: settings of the image modalities, of one view.
    """

    def __init__(self, images: dict[str, ImageConfig]) -> None:
        super().__init__()
        self.images = images
        self.first = next(iter(images.values()))
        self.token_width = self.first.token_width
        self.planes_apart = self.first.planes == "shared" and self.first.channels > 1
        planes = 1 if self.planes_apart else self.first.channels
        encoder = build_image_encoder(self.first, channels=len(images) * (planes + 1))
        self.encoder = SharedPlanes(encoder, self.first.channels) if self.planes_apart else encoder

    def forward(
        self, images: Inputs, modality_present: Bool[Tensor, "batch modality"]
    ) -> Float[Tensor, "batch _token width"]:
        """Tokens (B, T, token_width)."""
        channels = []
        for present, (name, settings) in zip(modality_present.T, self.images.items(), strict=True):
            on_grid = torch.zeros(len(present), *self.first.input_shape, device=present.device)
            if bool(present.any()):
                on_grid[present] = _on_grid(images[name][present].float(), settings, self.first)
            flag = present.float().view(-1, *[1] * (on_grid.dim() - 1))
            if self.planes_apart:  # (B, P, H, W) -> (B, P, 1, H, W): each plane has its own flag
                on_grid, flag = on_grid[:, :, None], flag[:, None].expand(-1, on_grid.shape[1], -1, -1, -1)
            flag_shape = (*flag.shape[: 2 if self.planes_apart else 1], 1, *self.first.input_shape[1:])
            channels += [on_grid, flag.expand(flag_shape)]
        return self.encoder(torch.cat(channels, dim=2 if self.planes_apart else 1))


class JoinedTables(nn.Module):
    """One token of all tables as one row; the values of an absent table are missing.

    Args:
        tables: settings of the tables.
    """

    def __init__(self, tables: dict[str, TableConfig]) -> None:
        super().__init__()
        self.tables = tables
        self.token_width = max(table.token_width for table in tables.values())
        joined = TableConfig(
            quantity="table",
            numbers=tuple(f"{name}.{number}" for name, table in tables.items() for number in table.numbers),
            categories={
                f"{name}.{category}": levels
                for name, table in tables.items()
                for category, levels in table.categories.items()
            },
            encoder_width=max(table.encoder_width for table in tables.values()),
            token_width=self.token_width,
        )
        self.encoder = TableEncoder(joined)

    def rows(self, tables: Inputs, present: Bool[Tensor, "batch modality"]) -> Float[Tensor, "batch column"]:
        """All tables as one row (B, columns), numbers first; NaN where a table is absent."""
        numbers, categories = [], []
        for of_table, (name, settings) in zip(present.T, self.tables.items(), strict=True):
            values = torch.full((len(present), *settings.input_shape), torch.nan, device=present.device)
            if bool(of_table.any()):
                values[of_table] = tables[name][of_table].float()
            numbers.append(values[:, : len(settings.numbers)])
            categories.append(values[:, len(settings.numbers) :])
        return torch.cat([*numbers, *categories], dim=1)

    def forward(
        self, images: Inputs, modality_present: Bool[Tensor, "batch modality"]
    ) -> Float[Tensor, "batch 1 width"]:
        """Token (B, 1, token_width)."""
        return self.encoder(self.rows(images, modality_present))


def _on_grid(image: Tensor, settings: ImageConfig, grid: ImageConfig) -> Tensor:
    """An image (B, P, H, W) or cube on the pixels of another modality's field; beyond its own field it is 0."""
    if (settings.field_mm, settings.input_px) == (grid.field_mm, grid.input_px):
        return image
    edges = image.dim() - 2
    scale = torch.eye(edges, edges + 1, device=image.device) * (grid.field_mm / settings.field_mm)
    shape = [len(image), image.shape[1], *(grid.input_px,) * edges]
    points = F.affine_grid(scale.expand(len(image), -1, -1), shape, align_corners=False)
    return F.grid_sample(image, points, align_corners=False)
