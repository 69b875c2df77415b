"""What a model reads: images and tables together, in the order of the configuration, from disk to tensors."""

from pathlib import Path

import numpy as np
import pytest
import torch

from dgccl.config import ImageConfig, TableConfig
from dgccl.dataset import choose_quantities, load_images, model_inputs, sample_planes
from dgccl.errors import CohortError

from .tiny_cohort import LEVELS, WITHOUT_CLINICAL, WITHOUT_CT, WITHOUT_MR, WITHOUT_PET, write_tiny_cohort

CUBE = ImageConfig(quantity="hu", window=(-1000.0, 1000.0), field_mm=56.0, input_px=17, view="volume")
PET = ImageConfig(quantity="suv", window=(0.0, 10.0), field_mm=64.0, input_px=33)
MR = ImageConfig(quantity="intensity", window=(-2.0, 4.0), field_mm=48.0, input_px=16)
CLINICAL = TableConfig(quantity="table", numbers=("cea_ng_ml",), categories={"smoking": LEVELS})


def test_inputs_of_every_kind_in_the_order_of_the_configuration(tmp_path: Path) -> None:
    cohort = write_tiny_cohort(tmp_path / "cohort", mr_px=12, clinical=True)
    modalities = {"clinical": CLINICAL, "pet": PET, "mr": MR, "ct": CUBE}
    quantities = choose_quantities(cohort.lesions, modalities)
    assert quantities == {"clinical": "table", "pet": "sul", "mr": "intensity", "ct": "hu"}
    images = load_images(cohort, modalities, quantities=quantities)
    absent = [set(np.flatnonzero(~column)) for column in images.modality_present.numpy().T]
    assert absent == [set(WITHOUT_CLINICAL), set(WITHOUT_PET), set(WITHOUT_MR), set(WITHOUT_CT)]
    rows = torch.tensor([0, 4, 5, 7])
    shown = images.modality_present[rows]
    shown[0] = torch.tensor([True, False, True, True])
    inputs = model_inputs(images, rows, modalities=modalities, shown=shown)
    assert list(inputs) == list(modalities)
    for name, settings_ in modalities.items():
        assert inputs[name].shape == (4, *settings_.input_shape)
    assert inputs["pet"][0].abs().sum() == 0
    assert inputs["mr"][1].abs().sum() == 0
    alone = sample_planes(images, rows, modalities={"mr": MR}, shown=shown[:, 2:3])
    assert torch.equal(inputs["mr"], alone["mr"])
    written = cohort.lesions.iloc[rows.tolist()]
    known = [float(word or "nan") for word in written["cea_ng_ml"]]
    np.testing.assert_allclose(inputs["clinical"][:, 0], known, rtol=1e-6)
    index = [LEVELS.index(word) if word else np.nan for word in written["smoking"]]
    np.testing.assert_array_equal(inputs["clinical"][:, 1], index)
    assert inputs["clinical"][2].isnan().all()


@pytest.mark.parametrize(("name", "settings_"), [("mr", MR), ("t2", MR)])
def test_an_image_that_was_not_ingested_is_named(tmp_path: Path, name: str, settings_: ImageConfig) -> None:
    cohort = write_tiny_cohort(tmp_path / "cohort", mr_px=8 if name == "t2" else 0)
    with pytest.raises(CohortError, match=f"modality {name}") as caught:
        load_images(cohort, {name: settings_}, quantities={name: "intensity"})
    assert caught.value.code == "modality_absent"
