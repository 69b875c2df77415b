from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats
from sklearn.metrics import roc_auc_score

from dgccl.errors import ConfigError
from dgccl.phantom import imaging
from dgccl.phantom.acquisition import SCANNERS, Scanner
from dgccl.phantom.anatomy import Anatomy, Blob, Layer
from dgccl.phantom.canvas import FWHM_PER_SD, grid_axes
from dgccl.phantom.imaging import pet_cov, render_ct, render_pet
from dgccl.phantom.kinds import KINDS
from dgccl.phantom.law import VIEWS, LesionLaw, log_likelihood_ratio
from dgccl.phantom.limits import LOG_UPTAKE, density_sd_hu, uptake_information
from dgccl.phantom.noise import ct_noise, neighbor_weight
from dgccl.phantom.observer import surviving_log_likelihood_ratio, uptake_log_sd
from dgccl.phantom.patient import sample_cohort
from dgccl.volume import Grid

ORIGIN = np.zeros(3)
SITES = pytest.mark.parametrize("scanner", SCANNERS, ids=lambda scanner: scanner.site)


@cache
def _cohort(patients: int, seed: int, law: LesionLaw) -> pd.DataFrame:
    return sample_cohort(patients, seed, law=law)


def _ratio(view: str, noise_scale: float, *, law: LesionLaw, patients: int = 20_000) -> np.ndarray:
    rng, lesions = np.random.default_rng(5), _cohort(patients, 3, law)
    return surviving_log_likelihood_ratio(lesions, view, rng=rng, law=law, noise_scale=noise_scale)


def _two_kinds(**difference: object) -> LesionLaw:
    """A benign and a malignant kind of solid lesions that are alike but for what is given."""
    alike = {"share": 1.0, "type_shares": (1.0, 0.0, 0.0)}
    benign = replace(KINDS[0], malignant=False, **alike)
    return LesionLaw(kinds=(benign, replace(benign, malignant=True, **difference)))


def test_without_noise_the_ratio_is_exact() -> None:
    law = LesionLaw(interaction=0.7, label_noise=0.05)
    for view in ("ct", "both"):
        expected = log_likelihood_ratio(_cohort(20_000, 3, law), view, law=law)
        np.testing.assert_array_equal(_ratio(view, 0.0, law=law), expected)
        # All but lesions whose core is next to nothing.
        assert np.quantile(np.abs(_ratio(view, 1e-3, law=law) - expected), 0.99) < 0.02 * expected.std()


def test_pet_is_granted_the_avid_share() -> None:
    """Without noise, of a law in which all lesions are solid or all are of one share, size and uptake are all."""
    law = _two_kinds(uptake_median_suv=3.0)
    expected = log_likelihood_ratio(_cohort(20_000, 3, law), "pet", law=law)
    np.testing.assert_allclose(_ratio("pet", 0.0, law=law), expected, atol=1e-12)
    default = LesionLaw()
    label = _cohort(20_000, 3, default)["label"]
    with_share, without = (
        roc_auc_score(label, ratio)
        for ratio in (
            _ratio("pet", 0.0, law=default),
            log_likelihood_ratio(_cohort(20_000, 3, default), "pet"),
        )
    )
    assert with_share > without + 0.015


def test_lobes_in_pet_grant_spiculation() -> None:
    law = _two_kinds(spiculation_beta=(3.0, 2.0))
    lesions, rng = _cohort(20_000, 3, law), np.random.default_rng(5)
    found = surviving_log_likelihood_ratio(lesions, "pet", rng=rng, law=law, lobes_in_pet=True)
    one, other = (stats.beta.logpdf(lesions["spiculation"], *beta) for beta in ((3.0, 2.0), (1.5, 3.4)))
    np.testing.assert_allclose(found, one - other, atol=1e-9)
    np.testing.assert_allclose(_ratio("pet", 1.0, law=law), 0.0, atol=1e-9)


def test_density_ratio_has_its_closed_form() -> None:
    law = _two_kinds(solid_hu=(20.0, 25.0))
    lesions, scale = _cohort(20_000, 3, law), 20.0
    sd = scale * density_sd_hu(lesions)
    seen = lesions["density_hu"] + sd * np.random.default_rng(5).standard_normal((2, len(lesions)))[0]
    expected = stats.norm.logpdf(seen, 20.0, np.hypot(25.0, sd)) - stats.norm.logpdf(
        seen, 50.0, np.hypot(35.0, sd)
    )
    np.testing.assert_allclose(_ratio("ct", scale, law=law), expected, atol=1e-9)


def test_uptake_ratio_agrees_with_direct_integration() -> None:
    law, scale = _two_kinds(uptake_median_suv=3.0, uptake_log_sd=0.6), 5.0
    found = _ratio("pet", scale, law=law)
    noise = np.random.default_rng(5).standard_normal((2, 20_000))[1]
    x = np.linspace(LOG_UPTAKE[0], LOG_UPTAKE[-1], 40_001)
    for i in (0, 7, 100, 4321):
        row = _cohort(20_000, 3, law).iloc[[i]]
        root = np.sqrt(uptake_information(row)[0])
        steps = (root[1:] + root[:-1]) / 2 * np.diff(LOG_UPTAKE)
        u = np.interp(x, LOG_UPTAKE, np.concatenate([[0.0], np.cumsum(steps)])) / scale
        seen = np.interp(np.log(row["uptake_suv"].iloc[0]), x, u) + noise[i]
        likelihood = np.exp(-((seen - u) ** 2) / 2)
        density = [
            (likelihood * stats.norm.pdf(x, np.log(m), sd)).sum() for m, sd in ((1.0, 0.4), (3.0, 0.6))
        ]
        assert found[i] == pytest.approx(np.log(density[1] / density[0]), abs=1e-3)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize(
    "law",
    [
        LesionLaw(),
        LesionLaw(interaction=0.4, label_noise=0.1, prevalence=0.3),
        LesionLaw(conditional_independence=True),
    ],
    ids=["default", "half_coupled_noisy", "independent"],
)
def test_ratio_is_calibrated(view: str, law: LesionLaw) -> None:
    """By Bayes' rule an exact ratio predicts the share of label 1 in every bin of itself, here under much noise."""
    lesions = _cohort(20_000, 3, law)
    rate = (1 - law.label_noise) * law.prevalence + law.label_noise * (1 - law.prevalence)
    predicted = special.expit(_ratio(view, 10.0, law=law) + special.logit(rate))
    label = lesions["label"].to_numpy()
    bins = np.digitize(predicted, np.quantile(predicted, np.linspace(0, 1, 11)[1:-1]))
    for b in range(10):
        inside = bins == b
        spread = np.sqrt((predicted[inside] * (1 - predicted[inside])).sum()) / inside.sum()
        assert abs(label[inside].mean() - predicted[inside].mean()) < 4.5 * spread + 1e-3


@pytest.mark.parametrize("view", VIEWS)
def test_noise_takes_from_what_is_possible(view: str) -> None:
    law = LesionLaw()
    label = _cohort(20_000, 3, law)["label"]
    aucs = [roc_auc_score(label, _ratio(view, scale, law=law)) for scale in (0.0, 1.0, 8.0, 40.0, 200.0)]
    # One measurement's noise is paired with the next's, so that far less than the AUC's standard error is noise.
    assert (np.diff(aucs) < 1e-3).all()
    assert aucs[0] - aucs[-1] > 0.02


def test_summed_ratios_are_the_joint_one_under_conditional_independence() -> None:
    law = LesionLaw(conditional_independence=True)
    ct, pet, both = (_ratio(view, 3.0, law=law) for view in VIEWS)
    np.testing.assert_allclose(ct + pet, both, atol=1e-9)


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = _ratio("both", 1.0, law=LesionLaw())
    monkeypatch.setattr("dgccl.phantom.observer._BLOCK", 777)
    np.testing.assert_allclose(_ratio("both", 1.0, law=LesionLaw()), whole, atol=1e-9)


def test_negative_noise_is_refused() -> None:
    with pytest.raises(ConfigError, match="noise_scale"):
        _ratio("ct", -1.0, law=LesionLaw())


def _ball(radius_mm: float) -> Blob:
    return Blob(ORIGIN, radius_mm, np.eye(3), np.ones((1, 3)), np.zeros(1), 0.0)


def _anatomy(radius_mm: float, *, hu: float, suv: float, breathing_mm: float = 0.0) -> Anatomy:
    flat = np.zeros((4, 4, 4), np.float32)
    layer = Layer(_ball(radius_mm), hu, suv)
    return Anatomy((layer,), _ball(radius_mm), flat, flat, 0.0, breathing_mm, ORIGIN)


def _grid(shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> Grid:
    affine = np.zeros((4, 4))
    affine[[2, 1, 0], [0, 1, 2]] = spacing
    affine[:3, 3] = -(np.array(shape) - 1)[::-1] / 2 * np.array(spacing)[::-1]
    affine[3, 3] = 1.0
    return Grid(shape, affine)


def _lesion(scanner: Scanner, **values: float) -> pd.DataFrame:
    """One solid lesion under a reference dose."""
    dose = {"activity_mbq": 262.5, "weight_kg": 75.0, "uptake_time_min": 60.0, "ct_noise_hu": 1.0}
    solid = {"solid_fraction": 1.0, "avid_fraction": 1.0}
    return pd.DataFrame([{"site": scanner.site} | dose | solid | values])


@SITES
@pytest.mark.parametrize("radius_mm", [2.0, 5.0])
def test_density_limit_is_a_matched_filter_of_rendered_images(scanner: Scanner, radius_mm: float) -> None:
    dz, dxy = scanner.ct_spacing_mm
    grid = _grid((round(40.0 / dz), 72, 72), (dz, dxy, dxy))
    axes = grid_axes(grid, ORIGIN)
    dense, light = (
        render_ct(_anatomy(radius_mm, hu=hu, suv=1.0), axes, fwhm_mm=scanner.ct_fwhm_mm)
        for hu in (100.0, 0.0)
    )
    template = (dense - light).astype(float) / 100.0
    weights, sd = _ct_filter(template, scanner)
    rng = np.random.default_rng(0)
    estimates = [
        (weights * ct_noise(rng, grid, fwhm_mm=scanner.ct_fwhm_mm, sd_hu=1.0)).sum() for _ in range(80)
    ]
    assert np.std(estimates) == pytest.approx(sd, rel=0.25)
    limit = density_sd_hu(_lesion(scanner, diameter_mm=2 * radius_mm))[0]
    # The filter has an image of 50 mm to see, and not the mean over a slice.
    assert 0.85 * sd < limit < sd


def _ct_filter(template: np.ndarray, scanner: Scanner) -> tuple[np.ndarray, float]:
    """Weights of the best linear unbiased estimate in CT noise of 1 HU, and its standard deviation."""
    count, n = template.shape[:2]
    dz, dxy = scanner.ct_spacing_mm
    sigma = scanner.ct_fwhm_mm / FWHM_PER_SD
    frequency = np.hypot(np.fft.fftfreq(n, dxy)[:, None], np.fft.fftfreq(n, dxy)[None, :])
    power = frequency * np.exp(-((2 * np.pi * sigma * frequency) ** 2))
    power *= n**2 / power.sum()
    side = neighbor_weight(dz, sigma)
    across = np.eye(count) * (1 + 2 * side**2)
    across += 2 * side * (np.eye(count, k=1) + np.eye(count, k=-1))
    across += side**2 * (np.eye(count, k=2) + np.eye(count, k=-2))
    across /= 1 + 2 * side**2
    spectrum = np.fft.fft2(template)
    seen = (frequency > 0) & (frequency < 1 / (2 * dxy))
    filtered = np.linalg.solve(across, spectrum.reshape(count, -1)).reshape(spectrum.shape)
    filtered = np.where(seen, filtered / np.where(seen, power, 1.0), 0.0)
    information = (spectrum.conj() * filtered).real.sum() / n**2
    return np.fft.ifft2(filtered).real / information, float(information**-0.5)


@SITES
@pytest.mark.parametrize(
    ("radius_mm", "breathing_mm", "uptake"), [(4.0, 0.0, 3.0), (4.0, 10.0, 7.0), (6.0, 4.0, 1.2)]
)
def test_uptake_limit_is_a_matched_filter_of_rendered_images(
    scanner: Scanner, radius_mm: float, breathing_mm: float, uptake: float
) -> None:
    lesion = _lesion(scanner, diameter_mm=2 * radius_mm, breathing_mm=breathing_mm, uptake_suv=uptake)
    cov = pet_cov(lesion.to_dict("records")[0], scanner)
    axes = grid_axes(_grid((11, 8, 8), (4.0, 4.0, 4.0)), ORIGIN)
    rng = np.random.default_rng(0)

    def image(suv: float, cov: float = 0.0) -> np.ndarray:
        anatomy = _anatomy(radius_mm, hu=0.0, suv=suv, breathing_mm=breathing_mm)
        return render_pet(anatomy, axes, fwhm_mm=scanner.pet_fwhm_mm, cov=cov, rng=rng).astype(float).ravel()

    template = (image(uptake * 1.02) - image(uptake * 0.98)) / 0.04  # by ln(uptake)
    covariance = _pet_covariance(axes, scanner, cov, lambda: image(uptake))
    weights = np.linalg.solve(covariance, template)
    information = weights @ template
    estimates = [weights @ (image(uptake, cov) - image(uptake)) / information for _ in range(80)]
    assert np.std(estimates) == pytest.approx(information**-0.5, rel=0.25)
    # The filter sees voxels of 4 mm and leaves the noise's own strength unused; the limit does neither.
    assert 0.9 * information**-0.5 < uptake_log_sd(lesion)[0] < information**-0.5


def _pet_covariance(axes: tuple, scanner: Scanner, cov: float, draw: object) -> np.ndarray:
    """Covariance of the voxels of a PET image, from the activity on the fine grid and the maps that sample it."""
    calls: list[tuple[list[np.ndarray], np.ndarray]] = []
    real = imaging.separable

    def spy(matrices: list[np.ndarray], values: np.ndarray) -> np.ndarray:
        calls.append((matrices, values))
        return real(matrices, values)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(imaging, "separable", spy)
        draw()
    samplers, activity = calls[-1]
    white = float(np.prod([np.sqrt((s**2).sum(axis=1)).mean() for s in samplers]))
    z, y, x = samplers
    sampling = np.einsum("ai,bj,ck->abcijk", z, y, x).reshape(len(z) * len(y) * len(x), -1)
    return (cov / white) ** 2 * (sampling * activity.ravel()) @ sampling.T


def test_uptake_table_is_fine_enough() -> None:
    """Between the nodes of the table, against its own integrals at those very values."""
    from dgccl.phantom import limits

    scanner, radius, breathing = SCANNERS[1], 6.1, 12.3
    lesion = _lesion(scanner, diameter_mm=2 * radius, breathing_mm=breathing)
    post = 4.0 / FWHM_PER_SD
    before = float(np.sqrt((scanner.pet_fwhm_mm / FWHM_PER_SD) ** 2 - post**2))
    balls, volume = limits._blurred_balls(radius, breathing, before)
    signal, activity = limits._activity(balls[-1], balls[-1])
    cov = pet_cov(lesion.to_dict("records")[0], scanner)
    mean = (signal**2 / activity) @ volume / (2 * np.sqrt(np.pi) * post) ** 3 / cov**2
    spread = (signal / activity) ** 2 @ volume / (2 * limits.PET_FINE_MM**3)
    seen = np.exp(LOG_UPTAKE) > 0.3  # fainter than lung lie few lesions of the law
    np.testing.assert_allclose(uptake_information(lesion)[0][seen], (mean + spread)[seen], rtol=0.04)


def test_small_faint_and_moving_lesions_show_less() -> None:
    base = {"diameter_mm": 16.0, "breathing_mm": 3.0, "uptake_suv": 3.0}

    def sd(**changes: float) -> float:
        return float(uptake_log_sd(_lesion(SCANNERS[0], **(base | changes)))[0])

    assert sd() < min(sd(diameter_mm=8.0), sd(breathing_mm=14.0), sd(uptake_suv=1.0), sd(activity_mbq=80.0))
    assert sd() < sd(avid_fraction=0.4)
    assert sd(activity_mbq=262.5 / 4) == pytest.approx(2 * sd(), rel=0.1)

    def sd_hu(diameter_mm: float, solid_fraction: float) -> float:
        lesion = _lesion(SCANNERS[0], diameter_mm=diameter_mm, solid_fraction=solid_fraction)
        return float(density_sd_hu(lesion)[0])

    assert sd_hu(16.0, 1.0) == sd_hu(16.0, 0.0) < sd_hu(8.0, 1.0) == pytest.approx(sd_hu(16.0, 0.5))
