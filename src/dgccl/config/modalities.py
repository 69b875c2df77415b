"""Settings of the modalities: images, and tables of values."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from dgccl.config.base import PositiveInt, Settings


class ImageConfig(Settings):
    """One image modality: what is shown to its encoder, and the encoder.

    Attributes:
        quantity: what the voxels mean; `suv` stands for SUL where every lesion of the cohort has it, else
            SUVbw for all of them (the choice is written into the run, never mixed). `intensity` is an image in
            arbitrary units, such as MR, stored by ingestion under the modality's own name.
        window: values mapped to 0 and 1 (HU or g/mL); values outside are clipped.
        view: `axial` is the one axial plane through the lesion's center, `orthogonal` the axial, coronal and
            sagittal planes, `volume` the cube around it.
        planes: `channels` shows the planes to the encoder as channels of one image; `shared` shows them one by
            one to one encoder, whose weights they share, and keeps the tokens of all.
        field_mm: edge of the square (or cube) that is shown, mm.
        input_px: pixels along that edge.
        encoder: `resnet50_spp` and `vit_small` are the published branches, `cnn` a small network (of 3-D
            convolutions where the view is `volume`).
        pooling: `pyramid` makes tokens of 1, 2 x 2 and 4 x 4 bins, `average` one token of the whole image (the
            method without its spatial pyramid); of no meaning to `vit_small`, whose tokens are its patches.
        encoder_width: channels of the trunk (ViT: 384; cnn: channels after the last stage); the
            ResNet-50 has none to choose, its stage 3 gives 1024.
        token_width: width of the branch's output vector and tokens (published: CT 1024, PET 768).
    """

    quantity: Literal["hu", "suv", "suv_bw", "sul", "suv_bsa", "intensity"]
    window: tuple[float, float]
    view: Literal["axial", "orthogonal", "volume"] = "orthogonal"
    planes: Literal["channels", "shared"] = "channels"
    field_mm: Annotated[float, Field(gt=0)] = 64.0
    input_px: PositiveInt = 64
    encoder: Literal["resnet50_spp", "vit_small", "cnn"] = "cnn"
    pooling: Literal["pyramid", "average"] = "pyramid"
    encoder_width: PositiveInt = 64
    token_width: PositiveInt = 64

    @model_validator(mode="after")
    def _consistent(self) -> "ImageConfig":
        if self.window[0] >= self.window[1]:
            raise ValueError(f"window must rise, found {self.window}")
        if self.encoder == "vit_small" and self.input_px % 16:
            raise ValueError(f"vit_small needs input_px to be a multiple of 16, found {self.input_px}")
        if self.encoder == "vit_small" and self.encoder_width % 64:
            raise ValueError(
                f"vit_small has heads 64 wide: encoder_width {self.encoder_width} is no multiple of 64"
            )
        if self.encoder == "vit_small" and self.pooling != "pyramid":
            raise ValueError("vit_small has patches for tokens: pooling has no meaning there")
        if self.encoder == "cnn" and (self.input_px < 16 or self.encoder_width % 4):
            raise ValueError("cnn needs input_px of at least 16 and an encoder_width that is a multiple of 4")
        if self.encoder == "resnet50_spp" and self.input_px < 64:
            raise ValueError(f"resnet50_spp needs input_px of at least 64, found {self.input_px}")
        if self.encoder == "resnet50_spp" and self.token_width != 1024:
            raise ValueError("resnet50_spp ends in 1024 channels: token_width must be 1024")
        if self.view == "volume" and (self.encoder != "cnn" or self.planes != "channels"):
            raise ValueError('view = "volume" needs encoder = "cnn" and planes = "channels"')
        return self

    @property
    def channels(self) -> int:
        """Planes shown side by side; 1 for a cube."""
        return 3 if self.view == "orthogonal" else 1

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one lesion's input: (channels, height, width), or (1, depth, height, width) for a cube."""
        edges = 3 if self.view == "volume" else 2
        return (self.channels, *(self.input_px,) * edges)


class TableConfig(Settings):
    """One modality of values instead of voxels: clinical data, biomarkers or radiomics features.

    Attributes:
        quantity: always `table`.
        numbers: columns of the lesion table that hold numbers; standardized by the training lesions.
        categories: columns that hold categories, each with its levels; another level in the data is refused.
        encoder_width: width of the hidden layer.
        token_width: width of the branch's output vector.
    """

    quantity: Literal["table"]
    numbers: tuple[str, ...] = ()
    categories: Annotated[dict[str, tuple[str, ...]], Field(default_factory=dict)]
    encoder_width: PositiveInt = 32
    token_width: PositiveInt = 32

    @model_validator(mode="after")
    def _consistent(self) -> "TableConfig":
        names = [*self.numbers, *self.categories]
        if not names:
            raise ValueError("a table needs at least one column in numbers or categories")
        if len(set(names)) < len(names):
            raise ValueError("a column is named twice")
        for name, levels in self.categories.items():
            if len(set(levels)) < max(2, len(levels)):
                raise ValueError(f"category {name} needs two levels or more, each named once")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the input, numbers first."""
        return (*self.numbers, *self.categories)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one lesion's input: (columns,)."""
        return (len(self.columns),)


ModalityConfig = Annotated[ImageConfig | TableConfig, Field(discriminator="quantity")]
"""One modality of either kind, told apart by its quantity."""
