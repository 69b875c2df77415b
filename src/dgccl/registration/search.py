"""Searches for the move of PET that shares most information with CT, by SimpleITK.

A search follows the intensities first, which find the way from afar, then the edges. Intensities alone stop short: PET
is blurred, and the faint outer part of the liver's edge, for one, has the uptake of muscle, which CT shows as dense.
Edges lie where they lie, whatever is on either side.

Source: Mattes et al., IEEE Trans Med Imaging 22 (2003) 120-128; edges: Pluim et al., IEEE Trans Med Imaging 19 (2000)
809-814 combine gradients with mutual information in another way.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import SimpleITK as sitk
from jaxtyping import Float64

from dgccl.registration.images import Compared, mask_image
from dgccl.types import Affine, Mask, PointMm

BINS = 32
COARSE_SAMPLES, FINE_SAMPLES = 15_000, 20_000
STEPS = 100

Parameters = Float64[np.ndarray, "6"]
"""Angles about x, y, z (rad) and translation (mm) of the map from CT points to PET points."""


@contextmanager
def one_thread() -> Iterator[None]:
    """SimpleITK on one thread: sums over several differ from run to run in their last bits.

    A method's own number of threads does not reach its metric, hence the number for all that begin meanwhile.
    """
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)


def search(pair: Compared, center: PointMm, start_mm: Sequence[float], *, seed: int) -> Parameters | None:
    """One search by intensities, coarse then fine, and by edges; None where the images no longer overlap.

    Args:
        pair: what is compared.
        center: about which the map turns, LPS mm.
        start_mm: translation to begin with.
        seed: of the sampled voxels.
    """
    body = mask_image(pair.body, pair.ct)
    voxels = float(np.prod(pair.ct.GetSize()))
    transform = _transform(center, np.array([0.0, 0.0, 0.0, *start_mm]))
    try:
        method = _method(body)
        shares = [min(1.0, COARSE_SAMPLES / (voxels / 8)), min(1.0, FINE_SAMPLES / voxels)]
        method.SetMetricSamplingPercentagePerLevel(shares, seed)
        method.SetShrinkFactorsPerLevel([2, 1])
        method.SetSmoothingSigmasPerLevel([4.0, 0.0])
        method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
        _descend(method, transform, step_mm=2.0)
        method.Execute(pair.ct, pair.pet)
        method = _method(body)
        method.SetMetricSamplingPercentage(min(1.0, FINE_SAMPLES / voxels), seed)
        _descend(method, transform, step_mm=1.0)
        method.Execute(pair.ct_edges, pair.pet_edges)
    except RuntimeError:
        return None
    return np.array(transform.GetParameters())


def shift_within(
    pair: Compared, center: PointMm, found: Parameters, *, part: Mask, seed: int
) -> Float64[np.ndarray, "3"] | None:
    """By how many mm (x, y, z) a part of the body alone would shift a map; None where its search fails."""
    method = _method(mask_image(part, pair.ct))
    method.SetMetricSamplingPercentage(min(1.0, FINE_SAMPLES / float(np.prod(pair.ct.GetSize()))), seed)
    method.SetMovingInitialTransform(_transform(center, found))
    shift = sitk.TranslationTransform(3)
    _descend(method, shift, step_mm=1.0)
    try:
        method.Execute(pair.ct_edges, pair.pet_edges)
    except RuntimeError:
        return None
    return np.array(shift.GetParameters())


def information(pair: Compared, center: PointMm, parameters: Parameters) -> float:
    """Mutual information of the edges in the body, nats; minus infinity where nothing overlaps."""
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(numberOfHistogramBins=BINS)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetMetricFixedMask(mask_image(pair.body, pair.ct))
    method.SetInitialTransform(_transform(center, parameters))
    try:
        return -float(method.MetricEvaluate(pair.ct_edges, pair.pet_edges))
    except RuntimeError:
        return float("-inf")


def move_of(parameters: Parameters, center: PointMm) -> Affine:
    """The move of PET, (4, 4): the inverse of the map from CT points to PET points."""
    transform = _transform(center, parameters)
    to_pet = np.eye(4)
    to_pet[:3, :3] = np.array(transform.GetMatrix()).reshape(3, 3)
    to_pet[:3, 3] = np.array(transform.GetTranslation()) + center - to_pet[:3, :3] @ center
    return np.linalg.inv(to_pet)


def _method(mask: sitk.Image) -> sitk.ImageRegistrationMethod:
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(numberOfHistogramBins=BINS)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricFixedMask(mask)
    return method


def _descend(method: sitk.ImageRegistrationMethod, transform: sitk.Transform, *, step_mm: float) -> None:
    method.SetInitialTransform(transform, inPlace=True)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=step_mm,
        minStep=0.01,
        numberOfIterations=STEPS,
        relaxationFactor=0.6,
        gradientMagnitudeTolerance=1e-6,
    )
    method.SetOptimizerScalesFromPhysicalShift()


def _transform(center: PointMm, parameters: Parameters) -> sitk.Euler3DTransform:
    transform = sitk.Euler3DTransform()
    transform.SetCenter([float(value) for value in center])
    transform.SetParameters([float(value) for value in parameters])
    return transform
