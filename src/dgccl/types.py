"""Array aliases with named axes, checked by beartype when the tests run.

Images are arrays in (z, y, x) order; positions are millimetres in the DICOM patient system (LPS: x to the
patient's left, y to the back, z to the head).
"""

import numpy as np
from jaxtyping import Bool, Float32, Float64, Shaped

Array3d = Shaped[np.ndarray, "z y x"]
"""Any image or mask, (z, y, x)."""

CtHu = Float32[np.ndarray, "z y x"]
"""CT in Hounsfield units."""

SuvBw = Float32[np.ndarray, "z y x"]
"""PET as body-weight SUV, g/mL."""

Mask = Bool[np.ndarray, "z y x"]
"""True inside the region."""

Affine = Float64[np.ndarray, "4 4"]
"""Maps homogeneous array indices (k, j, i, 1), in array order (z, y, x), to (x, y, z, 1) in LPS mm."""

PointsMm = Float64[np.ndarray, "_n 3"]
"""Points (x, y, z) in LPS mm; the count is not bound, so that lists of contours may differ in it."""

PointMm = Float64[np.ndarray, "3"]
"""One point (x, y, z) in LPS mm."""
