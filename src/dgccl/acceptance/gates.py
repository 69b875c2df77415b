"""Settings of the gates and the TOML file that holds them."""

import hashlib
import tomllib
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import Field, ValidationError, model_validator

from dgccl.config import PositiveInt, Settings
from dgccl.errors import ConfigError
from dgccl.evaluation.lesion_groups import NUMERIC_COLUMNS

Area = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
"""An AUC, or a share."""
Number = Annotated[float, Field(allow_inf_nan=False)]
Loss = Annotated[float, Field(gt=0.0, lt=1.0, allow_inf_nan=False)]
"""A loss of AUC that is accepted."""

SubgroupColumn = Literal["sex", "site", "scanner", "manufacturer", "age_years", "diameter_mm"]
MetadataColumn = Literal[
    "site",
    "scanner",
    "manufacturer",
    "ct_slice_spacing_mm",
    "ct_pixel_spacing_mm",
    "pet_slice_spacing_mm",
    "pet_pixel_spacing_mm",
    "uptake_time_min",
    "images",
]
"""What is known of a lesion without looking at it; `images` is the set of images that exist."""
METADATA_COLUMNS: tuple[MetadataColumn, ...] = get_args(MetadataColumn)


class AurocFloor(Settings):
    """The lower end of the interval of the headline AUC reaches a floor."""

    rule: Literal["auroc_floor"]
    floor: Area


class MissingModalityDrop(Settings):
    """A missing modality costs little.

    Attributes:
        max_drop: largest loss of AUC that the interval may reach; 0.05 is the regulatory bar.
        missing: names of modalities; every pattern that withholds some of these and nothing else is judged.
    """

    rule: Literal["missing_modality_drop"]
    max_drop: Loss = 0.05
    missing: Literal["all"] | Annotated[tuple[str, ...], Field(min_length=1)] = "all"


class NonInferiority(Settings):
    """The model is not worse than another by a margin of AUC or more.

    Attributes:
        comparator: another model of the run; or a published nodule model, `mayo`, `herder` or `brock`, which is
            computed from the cohort's columns and held against on the lesions that have what it needs.
        margin: loss of AUC that is still accepted.
    """

    rule: Literal["non_inferiority"]
    comparator: str
    margin: Loss


class CalibrationSlope(Settings):
    """The whole interval of the calibration slope lies within limits around 1.

    Attributes:
        low: lower limit, below 1.
        high: upper limit, above 1.
        probabilities: those that the networks give, or the same with one temperature a fold, fitted on the fold's
            validation lesions, as evaluation shows beside them.
    """

    rule: Literal["calibration_slope"]
    low: Number
    high: Number
    probabilities: Literal["as_given", "recalibrated"] = "as_given"

    @model_validator(mode="after")
    def _around_one(self) -> "CalibrationSlope":
        if not self.low < 1.0 < self.high:
            raise ValueError(f"low and high must lie on either side of 1, found {self.low} and {self.high}")
        return self


class GroupSizes(Settings):
    """Which groups of lesions are large enough to be judged, and what becomes of the others.

    Attributes:
        min_lesions: a group with fewer lesions that count is too small.
        min_of_class: and so is one with fewer of a class.
        max_ungated_share: largest share of the lesions that may go without a verdict.
    """

    min_lesions: PositiveInt = 30
    min_of_class: PositiveInt = 10
    max_ungated_share: Area = 0.2


class SubgroupFloor(GroupSizes):
    """The lower end of the interval of the AUC reaches a floor in every subgroup.

    Attributes:
        by: column of the cohort that makes the subgroups.
        edges: limits of the bands of a numeric column; a value on an edge is in the band above it.
        floor: for the lower end in each subgroup.
        min_subgroups: judged subgroups of recorded values that there must be at least.
    """

    rule: Literal["subgroup_floor"]
    by: SubgroupColumn
    edges: tuple[Number, ...] = ()
    floor: Area
    min_subgroups: PositiveInt = 2

    @model_validator(mode="after")
    def _edges_fit(self) -> "SubgroupFloor":
        if self.by in NUMERIC_COLUMNS and not self.edges:
            raise ValueError(f"edges are needed to make bands of {self.by}")
        if self.by not in NUMERIC_COLUMNS and self.edges:
            raise ValueError(f"edges have no meaning for {self.by}, whose values are words")
        if any(low >= high for low, high in pairwise(self.edges)):
            raise ValueError(f"edges must rise, found {list(self.edges)}")
        return self


class LeaveOneSiteOut(GroupSizes):
    """The lower end of the AUC of each site's lesions, by networks that never saw that site, reaches a floor."""

    rule: Literal["leave_one_site_out"]
    floor: Area


class NoPatientInTwoSplits(Settings):
    """No patient stands on two sides of a fold, and the run's tables are about the cohort's patients."""

    rule: Literal["no_patient_in_two_splits"]


class NoDuplicateImages(Settings):
    """No two patients have the same image.

    Attributes:
        similarity: rank correlation of two CTs' block means from which they count as one image, see
            `dgccl.acceptance.image_hashes`.
    """

    rule: Literal["no_duplicate_images"]
    similarity: Annotated[float, Field(gt=0.5, le=1.0, allow_inf_nan=False)] = 0.97


class LabelNotImplied(Settings):
    """The class cannot be told from what is known of a lesion without looking at it.

    Attributes:
        columns: what to tell it from; all there is if left out.
        max_auroc: largest AUC of the metadata, as estimated.
        max_upper: largest upper end of its interval; without it a wide interval alone does not fail the gate.
        min_patients: patients that a value needs to count as evidence that it implies a class.
    """

    rule: Literal["label_not_implied"]
    columns: Annotated[tuple[MetadataColumn, ...], Field(min_length=1)] | None = None
    max_auroc: Annotated[float, Field(ge=0.5, lt=1.0, allow_inf_nan=False)]
    max_upper: Annotated[float, Field(ge=0.5, lt=1.0, allow_inf_nan=False)] | None = None
    min_patients: PositiveInt = 5

    @model_validator(mode="after")
    def _consistent(self) -> "LabelNotImplied":
        if self.max_upper is not None and self.max_upper < self.max_auroc:
            raise ValueError(f"max_upper {self.max_upper} is below max_auroc {self.max_auroc}")
        if self.columns and len(set(self.columns)) < len(self.columns):
            raise ValueError("columns names a column twice")
        return self


Gate = Annotated[
    AurocFloor
    | MissingModalityDrop
    | NonInferiority
    | CalibrationSlope
    | SubgroupFloor
    | LeaveOneSiteOut
    | NoPatientInTwoSplits
    | NoDuplicateImages
    | LabelNotImplied,
    Field(discriminator="rule"),
]
"""One gate of any kind, told apart by its rule."""


class Gates(Settings):
    """A whole gates file.

    Attributes:
        name: of the set of gates.
        model: the model of the run that is judged; its first if left out.
        gates: in the order in which they are told.
    """

    name: Annotated[str, Field(min_length=1)]
    model: Annotated[str, Field(min_length=1)] | None = None
    gates: Annotated[tuple[Gate, ...], Field(min_length=1)]


@dataclass(frozen=True)
class GatesFile:
    """Gates with the file that they come from.

    Attributes:
        file: name of the file.
        content: its text.
        sha256: of its bytes.
        gates: what it says.
    """

    file: str
    content: str
    sha256: str
    gates: Gates


def load_gates(path: Path) -> GatesFile:
    """Read and check a file of gates.

    Raises:
        ConfigError: `gates_not_found`, `gates_not_toml`; `gates_invalid`: an unknown rule or key, or a value out of
            range.
    """
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise ConfigError(
            "gates_not_found", f"There is no file of gates {path.name}.", remedy="See configs/gates/."
        ) from error
    try:
        content = data.decode("utf-8")
        raw = tomllib.loads(content)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError("gates_not_toml", f"{path.name} is not valid TOML: {error}.") from error
    try:
        gates = Gates.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(
            "gates_invalid",
            f"{path.name}: {_wrong(error)}.",
            remedy="Compare with the files in configs/gates/.",
        ) from error
    return GatesFile(path.name, content, hashlib.sha256(data).hexdigest(), gates)


def _wrong(error: ValidationError) -> str:
    """What is wrong, gates being counted from 1 as they stand in the file."""
    problems = []
    for item in error.errors():
        place = list(item["loc"])
        if place[:1] == ["gates"] and len(place) > 1 and isinstance(place[1], int):
            place[:2] = [f"gate {place[1] + 1}"]
        problems.append(f"{', '.join(map(str, place)) or 'file'}: {item['msg']}")
    return "; ".join(problems)
