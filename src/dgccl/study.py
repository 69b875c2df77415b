"""A study is one patient's CT and PET with the outlines on them, in physical units."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from dgccl.roi import Roi
from dgccl.volume import Volume


@dataclass(frozen=True, eq=False)
class PetImage:
    """PET in body-weight SUV, with what the other two quantities are per SUVbw.

    Attributes:
        suv_bw: volume, g/mL.
        sul_per_suv_bw: lean-body-mass SUV per SUVbw; NaN where sex, height or weight is not known.
        suv_bsa_per_suv_bw: body-surface SUV (cm2/mL) per SUVbw (g/mL); NaN where height or weight is not known.
        uptake_time_min: minutes from injection to the scan's start; NaN where not known.
    """

    suv_bw: Volume
    sul_per_suv_bw: float = float("nan")
    suv_bsa_per_suv_bw: float = float("nan")
    uptake_time_min: float = float("nan")

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel spacing (z, y, x), mm."""
        return self.suv_bw.grid.spacing_mm


@dataclass(frozen=True, eq=False)
class Study:
    """One patient's images and outlines; at least one image is there.

    Attributes:
        patient_id: study code, the only identifier that leaves ingestion.
        ct: CT, HU.
        pet: PET, SUV.
        rois: outlines.
        site, sex, age_years, manufacturer, scanner: what tables and subgroup checks need; empty or NaN if unknown.
        others: further images by name, such as MR, in the unit of `dgccl.intensity`.
        phantom: the images' header calls their subject a phantom.
        warnings: codes of what was handled by a stated rule.
    """

    patient_id: str
    ct: Volume | None
    pet: PetImage | None
    rois: tuple[Roi, ...]
    site: str = ""
    sex: str = ""
    age_years: float = float("nan")
    manufacturer: str = ""
    scanner: str = ""
    others: Mapping[str, Volume] = field(default_factory=dict)
    phantom: bool = False
    warnings: tuple[str, ...] = field(default=())
