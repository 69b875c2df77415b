"""What is masked: shares, blocks, and the tokens that look at it."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dgccl.config import ModalityConfig
from dgccl.model.encoder import pyramid_pool
from dgccl.pretraining.masking import draw_masks, hidden_share, hide, maskable_places, modality_places

from .conftest import every_modality

MODALITIES = every_modality().modalities


def masks_of(modality: ModalityConfig, count: int, **settings: object) -> torch.Tensor:
    places = modality_places(modality)
    everything = torch.ones(count, places.count, dtype=torch.bool)
    defaults = {"fraction": 0.5, "blocks": 2, "generator": torch.Generator().manual_seed(3)}
    return draw_masks(places, everything, **(defaults | settings))


@pytest.mark.parametrize("name", MODALITIES)
@pytest.mark.parametrize("fraction", [0.05, 0.3, 0.5, 0.99])
def test_every_grid_loses_its_share(name: str, fraction: float) -> None:
    places = modality_places(MODALITIES[name])
    masks = masks_of(MODALITIES[name], 500, fraction=fraction).reshape(500, places.planes, -1)
    grid = masks.shape[2]
    expected = min(max(round(fraction * grid), 1), grid - 1)
    assert (masks.sum(dim=2) == expected).all()
    assert masks.float().mean(dim=(0, 1)).min() > 0, "every place is masked some time"


@pytest.mark.parametrize(
    ("name", "tokens", "count"), [("ct", 21, 16), ("pet", 12, 12), ("mr", 1, 64), ("clinical", 1, 3)]
)
def test_coverage_fits_the_encoder(name: str, tokens: int, count: int) -> None:
    from dgccl.model.encoder import build_encoder

    places = modality_places(MODALITIES[name])
    assert places.coverage.shape == (tokens, count)
    assert build_encoder(MODALITIES[name]).token_count == tokens
    torch.testing.assert_close(places.coverage.sum(dim=1), torch.ones(tokens))
    everything = torch.ones(2, count, dtype=torch.bool)
    torch.testing.assert_close(hidden_share(places, everything), torch.ones(2, tokens))


@pytest.mark.parametrize("edges", [2, 3])
def test_a_bin_of_the_pyramid_looks_at_the_places_that_it_pools(edges: int) -> None:
    update = {"input_px": 20} if edges == 2 else {"view": "volume", "pooling": "pyramid"}
    modality = MODALITIES["ct" if edges == 2 else "mr"].model_copy(update=update)
    places = modality_places(modality)
    for place in range(places.count):
        features = torch.zeros(1, 1, *(4,) * edges)
        features.flatten()[place] = 1.0
        seen = pyramid_pool(features)[0, :, 0] > 0
        assert torch.equal(places.coverage[:, place] > 0, seen)


def test_one_block_is_one_block() -> None:
    """Nearest places to a point: no masked place is farther from it than a visible one, so they touch."""
    vit = MODALITIES["pet"].model_copy(update={"input_px": 128, "planes": "channels"})
    masks = masks_of(vit, 30, blocks=1, fraction=0.25).reshape(30, 8, 8)
    touching = torch.nn.functional.conv2d(
        masks[:, None].float(), torch.tensor([[[[0.0, 1, 0], [1, 0, 1], [0, 1, 0]]]]), padding=1
    )
    assert (touching[:, 0][masks] > 0).all()
    assert masks_of(vit, 30, blocks=4, fraction=0.25).sum(dim=1).unique().tolist() == [16]


@given(share=st.floats(0.01, 0.99), seed=st.integers(0, 50))
def test_of_a_table_known_columns_are_masked_and_one_stays(share: float, seed: int) -> None:
    places = modality_places(MODALITIES["clinical"])
    table = torch.tensor(
        [[1.0, 2.0, 0.0], [1.0, torch.nan, 2.0], [torch.nan, 2.0, torch.nan], [torch.nan] * 3]
    )
    known = maskable_places(places, table)
    masks = draw_masks(places, known, fraction=share, blocks=1, generator=torch.Generator().manual_seed(seed))
    assert not (masks & ~known).any()
    assert masks.sum(dim=1).tolist() == [min(max(round(3 * share), 1), 2), 1, 0, 0]
    hidden = hide(places, table, masks)
    assert hidden.isnan().equal(masks | ~known)
    assert hidden[:3].isnan().all(dim=1).sum() == 0


@pytest.mark.parametrize("name", ["ct", "pet", "mr"])
def test_what_is_masked_leaves_no_trace_in_the_input(name: str) -> None:
    modality, places = MODALITIES[name], modality_places(MODALITIES[name])
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(4, *modality.input_shape, generator=generator)
    masks = masks_of(modality, 4)
    hidden = hide(places, image, masks)
    changed = hidden != image
    share = masks.float().mean()
    assert changed.float().mean() == pytest.approx(float(share), abs=0.02)
    noise = torch.where(changed, torch.rand(image.shape, generator=generator), image)
    torch.testing.assert_close(hide(places, noise, masks), hidden, rtol=0, atol=1e-6)
    for lesion in range(4):
        for plane in range(modality.input_shape[0]):
            visible = image[lesion, plane][~changed[lesion, plane]]
            filled = hidden[lesion, plane][changed[lesion, plane]]
            torch.testing.assert_close(filled, visible.mean().expand_as(filled))
