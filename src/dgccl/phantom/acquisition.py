"""Patients and scanners of the phantom: what is independent of the class but decides what can be seen.

Sources of the numbers: docs/phantom.md.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Float64

Vendor = Literal["siemens", "ge", "philips"]


@dataclass(frozen=True)
class Scanner:
    """One site's PET/CT scanner and protocol.

    Args:
        site: name of the site.
        vendor: whose DICOM conventions it follows.
        ct_spacing_mm: (slice, pixel) spacing of CT, mm.
        ct_slice_thickness_mm: nominal thickness of a CT slice, mm.
        ct_fwhm_mm: width of the CT point spread in the slice, mm.
        ct_noise_hu: median noise of a voxel at this site's dose, HU.
        pet_spacing_mm: (slice, pixel) spacing of PET, mm.
        pet_fwhm_mm: width of the PET point spread in the reconstructed image, mm.
        bed_s: acquisition time of a bed position, s.
        activity_mbq_per_kg: injected activity, MBq/kg.
    """

    site: str
    vendor: Vendor
    ct_spacing_mm: tuple[float, float]
    ct_slice_thickness_mm: float
    ct_fwhm_mm: float
    ct_noise_hu: float
    pet_spacing_mm: tuple[float, float]
    pet_fwhm_mm: float
    bed_s: float
    activity_mbq_per_kg: float


SCANNERS = (
    Scanner("site_a", "siemens", (1.0, 0.703125), 1.0, 1.25, 20.0, (4.0, 4.07283), 5.4, 150.0, 3.0),
    Scanner("site_b", "ge", (0.625, 0.703125), 0.625, 1.05, 28.0, (3.27, 3.90625), 6.2, 120.0, 3.5),
    Scanner("site_c", "philips", (0.9, 0.75), 0.9, 1.35, 24.0, (4.0, 4.0), 6.9, 90.0, 4.0),
)


def scanner_of(site: str) -> Scanner:
    """The scanner of a site."""
    return next(scanner for scanner in SCANNERS if scanner.site == site)


def sample_acquisitions(rng: np.random.Generator, n: int) -> pd.DataFrame:
    """Draw patients and their acquisitions, one row each, independent of the class.

    Args:
        rng: source of randomness.
        n: number of patients.

    Returns:
        Columns `site`, `sex`, `age_years`, `height_m`, `weight_kg`, `activity_mbq` (at injection),
        `uptake_time_min`, `lobe`, `breathing_mm` (peak to peak, cranio-caudal), `ct_noise_hu`.
    """
    site = rng.integers(len(SCANNERS), size=n)
    male = rng.random(n) < 0.6
    height_m = np.clip(rng.normal(np.where(male, 1.75, 1.62), 0.07), 1.45, 2.0).round(2)
    bmi = np.clip(rng.normal(26.5, 4.5, n), 17.0, 45.0)
    weight_kg = (bmi * height_m**2).round(1)
    dose_rate = np.array([scanner.activity_mbq_per_kg for scanner in SCANNERS])[site]
    lower = rng.random(n) < 0.4
    noise = np.array([scanner.ct_noise_hu for scanner in SCANNERS])[site]
    return pd.DataFrame(
        {
            "site": np.array([scanner.site for scanner in SCANNERS])[site],
            "sex": np.where(male, "M", "F"),
            "age_years": np.clip(rng.normal(64.0, 9.0, n), 35.0, 89.0).astype(int),
            "height_m": height_m,
            "weight_kg": weight_kg,
            "activity_mbq": (dose_rate * weight_kg * rng.normal(1.0, 0.05, n)).round(1),
            "uptake_time_min": np.clip(rng.normal(63.0, 6.0, n), 50.0, 85.0).round(1),
            "lobe": np.where(lower, "lower", "upper"),
            "breathing_mm": _breathing(rng, lower),
            # Low-dose to routine chest CT: the spread covers a factor of about 4 in dose.
            "ct_noise_hu": noise * np.exp(rng.normal(0.0, 0.3, n)),
        }
    )


def _breathing(rng: np.random.Generator, lower: np.ndarray) -> Float64[np.ndarray, "n"]:
    """Peak-to-peak motion of a lesion, mm: large in the lower lobes, small above."""
    mean, sd = np.where(lower, 10.0, 3.0), np.where(lower, 4.0, 2.0)
    return np.minimum(rng.gamma((mean / sd) ** 2, sd**2 / mean), 24.0)
