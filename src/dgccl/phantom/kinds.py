"""The hidden kinds of lesion and the numbers of their laws."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """One hidden kind of lesion and the law of what it shows.

    Args:
        name: of the kind.
        malignant: class.
        share: probability within its class.
        type_shares: probabilities of solid, part-solid and pure ground-glass density.
        solid_fraction_beta: Beta parameters of solid diameter / whole diameter of a part-solid lesion.
        diameter_median_mm: median of the log-normal law before truncation.
        diameter_log_sd: its standard deviation in ln(mm).
        spiculation_beta: Beta parameters of the spiculated part of the margin.
        solid_hu: mean and standard deviation of the density of the solid part, HU.
        glass_hu: the same of pure ground glass, HU.
        uptake_median_suv: median SUV of the tissue that takes up FDG, before any blur, g/mL.
        uptake_log_sd: its standard deviation in ln(SUV).
        inflammation_share: probability of a hazy inflamed rim on CT.
    """

    name: str
    malignant: bool
    share: float
    type_shares: tuple[float, float, float]
    solid_fraction_beta: tuple[float, float]
    diameter_median_mm: float
    diameter_log_sd: float
    spiculation_beta: tuple[float, float]
    solid_hu: tuple[float, float]
    glass_hu: tuple[float, float]
    uptake_median_suv: float
    uptake_log_sd: float
    inflammation_share: float


# Shares, types, sizes and uptakes follow the sources in docs/phantom.md in direction and order of magnitude; the
# last digits are chosen so that the ideal AUCs are 0.84 (CT), 0.85 (PET with size) and 0.93 (both).
KINDS = (
    Kind(
        name="quiescent_nodule",  # old granuloma, scar, hamartoma, intrapulmonary lymph node
        malignant=False,
        share=0.54,
        type_shares=(0.92, 0.06, 0.02),
        solid_fraction_beta=(3.0, 2.0),
        diameter_median_mm=12.0,
        diameter_log_sd=0.42,
        spiculation_beta=(1.5, 3.4),
        solid_hu=(50.0, 35.0),
        glass_hu=(-640.0, 70.0),
        uptake_median_suv=1.0,
        uptake_log_sd=0.40,
        inflammation_share=0.08,
    ),
    Kind(
        name="active_granuloma",  # active granuloma, organising pneumonia: hot, hazy rim
        malignant=False,
        share=0.28,
        type_shares=(0.80, 0.17, 0.03),
        solid_fraction_beta=(3.0, 2.0),
        diameter_median_mm=15.0,
        diameter_log_sd=0.42,
        spiculation_beta=(2.2, 3.0),
        solid_hu=(32.0, 25.0),
        glass_hu=(-600.0, 70.0),
        uptake_median_suv=3.5,
        uptake_log_sd=0.5,
        inflammation_share=0.6,
    ),
    Kind(
        name="focal_ground_glass",  # focal inflammation or fibrosis, atypical hyperplasia
        malignant=False,
        share=0.18,
        type_shares=(0.02, 0.28, 0.70),
        solid_fraction_beta=(1.6, 3.2),
        diameter_median_mm=10.5,
        diameter_log_sd=0.40,
        spiculation_beta=(1.4, 4.0),
        solid_hu=(20.0, 30.0),
        glass_hu=(-660.0, 60.0),
        uptake_median_suv=0.80,
        uptake_log_sd=0.35,
        inflammation_share=0.25,
    ),
    Kind(
        name="avid_cancer",  # invasive adenocarcinoma, squamous and other high-grade carcinoma
        malignant=True,
        share=0.6,
        type_shares=(0.86, 0.14, 0.00),
        solid_fraction_beta=(5.0, 2.0),
        diameter_median_mm=19.0,
        diameter_log_sd=0.42,
        spiculation_beta=(2.7, 2.4),
        solid_hu=(32.0, 20.0),
        glass_hu=(-560.0, 80.0),
        uptake_median_suv=7.0,
        uptake_log_sd=0.55,
        inflammation_share=0.15,
    ),
    Kind(
        name="lepidic_cancer",  # in situ, minimally invasive, lepidic adenocarcinoma: cold glass
        malignant=True,
        share=0.26,
        type_shares=(0.03, 0.62, 0.35),
        solid_fraction_beta=(2.4, 2.4),
        diameter_median_mm=16.0,
        diameter_log_sd=0.38,
        spiculation_beta=(2.3, 2.8),
        solid_hu=(20.0, 30.0),
        glass_hu=(-580.0, 70.0),
        uptake_median_suv=1.6,
        uptake_log_sd=0.45,
        inflammation_share=0.08,
    ),
    Kind(
        name="indolent_cancer",  # carcinoid, mucinous carcinoma, some metastases: solid, little uptake
        malignant=True,
        share=0.14,
        type_shares=(0.95, 0.05, 0.00),
        solid_fraction_beta=(5.0, 2.0),
        diameter_median_mm=15.0,
        diameter_log_sd=0.40,
        spiculation_beta=(1.8, 3.0),
        solid_hu=(30.0, 22.0),
        glass_hu=(-560.0, 80.0),
        uptake_median_suv=2.2,
        uptake_log_sd=0.45,
        inflammation_share=0.06,
    ),
)
