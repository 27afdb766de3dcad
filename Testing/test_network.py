import itertools

import pytest
import torch
from metakd.contrasts import CONTRASTS, SUBSETS
from metakd.network import MetaKDNet
from torch.utils.flop_counter import FlopCounterMode

GRID = (32, 48, 32)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return MetaKDNet(channels=[4, 8, 8], decoder_channels=[4, 8, 8]).eval()


@pytest.fixture(scope="module")
def images():
    return torch.randn(2, 4, *GRID, generator=torch.Generator().manual_seed(1))


def row(subset):
    return torch.tensor([[contrast in subset for contrast in CONTRASTS]])


@pytest.mark.parametrize("subset", SUBSETS, ids=lambda s: "+".join(c.value for c in s))
@torch.no_grad()
def test_every_subset_gives_finite_logits_on_the_input_grid(network, images, subset):
    logits = network(images[:1], row(subset))
    assert logits.shape == (1, 3, *GRID)
    assert logits.isfinite().all()


@pytest.mark.parametrize("subset", SUBSETS, ids=lambda s: "+".join(c.value for c in s))
@torch.no_grad()
def test_generated_features_follow_the_equation_at_every_scale(network, images, subset):
    """f_n = mean of the available f_i, written as loops over contrasts and scales."""
    present = [contrast.index for contrast in subset]
    features = [network.encode(i, images[:1, i, None]) if i in present else None for i in range(4)]
    filled = network.generate(features, row(subset))
    for contrast, scale in itertools.product(range(4), range(3)):
        if contrast in present:
            expected = features[contrast][scale]
        else:
            expected = torch.zeros_like(features[present[0]][scale])
            for i in present:
                expected = expected + features[i][scale] / len(present)
        torch.testing.assert_close(filled[contrast][scale], expected)


@torch.no_grad()
def test_absent_encoders_are_not_called(network, images):
    called = []
    hooks = [
        encoder.register_forward_hook(lambda *_, i=i: called.append(i))
        for i, encoder in enumerate(network.encoders)
    ]
    network(images[:1], torch.tensor([[False, True, False, True]]))
    for hook in hooks:
        hook.remove()
    assert called == [1, 3]


@torch.no_grad()
def test_an_encoder_sees_only_the_samples_that_have_its_contrast(network, images):
    batches = []
    hook = network.encoders[2].register_forward_hook(lambda _, x, y: batches.append(len(x[0])))
    network(images, torch.tensor([[True, True, False, True], [False, False, True, False]]))
    hook.remove()
    assert batches == [1]


@torch.no_grad()
def test_what_stands_in_an_absent_contrasts_place_is_never_read(network, images):
    available = torch.tensor([[True, False, True, False]])
    spoiled = images[:1].clone()
    spoiled[:, 1], spoiled[:, 3] = torch.nan, 1e30
    assert torch.equal(network(spoiled, available), network(images[:1], available))


@torch.no_grad()
def test_a_sample_gives_the_same_result_alone_and_in_a_mixed_batch(network, images):
    available = torch.tensor([[True, False, True, False], [False, True, True, True]])
    together = network(images, available)
    for i in range(2):
        alone = network(images[i : i + 1], available[i : i + 1])
        torch.testing.assert_close(together[i], alone[0], rtol=1e-4, atol=1e-5)


def test_importance_is_part_of_the_state_and_has_mean_one(network):
    assert "importance_logits" in network.state_dict()
    with torch.no_grad():
        network.importance_logits.copy_(torch.tensor([0.0, 2.0, -1.0, 1.0]))
    assert network.importance.argmax() == 1
    assert network.importance.mean().item() == pytest.approx(1)


def flops(subset):
    network, images = MetaKDNet().eval(), torch.randn(1, 4, *GRID)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(images, row(subset))
    counts = counter.get_flop_counts()
    encoders = sum(sum(counts[k].values()) for k in counts if k.startswith("MetaKDNet.encoders."))
    return counter.get_total_flops(), encoders


def test_the_default_network_keeps_within_its_budget():
    assert sum(p.numel() for p in MetaKDNet().parameters()) <= 6e6
    total, _ = flops(CONTRASTS)
    assert total / (GRID[0] * GRID[1] * GRID[2]) <= 100e3


@pytest.mark.parametrize("count", [1, 2, 3])
def test_encoding_k_contrasts_costs_k_quarters(count):
    _, all_encoders = flops(CONTRASTS)
    _, some_encoders = flops(CONTRASTS[:count])
    assert some_encoders * 4 == all_encoders * count


@torch.no_grad()
def test_a_voxel_depends_on_its_neighbourhood_alone():
    """What lies far away changes nothing: sliding windows can agree with the whole pass."""
    torch.manual_seed(0)
    small = MetaKDNet(channels=[4, 8], decoder_channels=[4, 8]).eval()
    images = torch.randn(1, 4, 16, 16, 96)
    other = images.clone()
    other[..., 64:] = 5 * torch.randn(1, 4, 16, 16, 32)
    assert torch.equal(small(images)[..., :32], small(other)[..., :32])
    assert not torch.equal(small(images)[..., 64:], small(other)[..., 64:])
