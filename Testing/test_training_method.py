import pytest
import torch
from metakd.network import MetaKDNet
from metakd_training.methods.metakd import distillation, importance_step, scale_by_importance
from metakd_training.tasks.segmentation import random_subset, segmentation_loss


@pytest.fixture
def features():
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, 5, 3, 4, 2, generator=generator, requires_grad=True) for _ in range(3)]


def test_distillation_is_the_papers_double_sum(features):
    importance = torch.tensor([0.5, 1.5, 1.0])
    expected = 0.0
    for i in range(3):
        for j in range(3):
            if i != j:
                distance = 0.0
                for a, b in zip(features[i].flatten(), features[j].flatten(), strict=True):
                    distance += abs(a.item() - b.item())
                ratio = importance[i].item() / importance[j].item()
                expected += ratio * distance / features[i].numel()
    assert distillation(features, importance).item() == pytest.approx(expected, rel=1e-4)


def test_a_single_contrast_distils_nothing(features):
    assert distillation(features[:1], torch.ones(1)).item() == 0


def test_only_the_student_learns_and_an_important_teacher_pulls_harder(features):
    """With stopped teachers, f_0 moves by the sum of w_i / w_0 over its teachers' signs."""
    importance = torch.tensor([0.5, 2.0, 1.0], requires_grad=True)
    distillation(features, importance).backward()
    pull = sum(importance[i].item() / 0.5 * torch.sign(features[0] - features[i]) for i in (1, 2))
    torch.testing.assert_close(features[0].grad, pull.detach() / features[0].numel())
    assert importance.grad is None


def test_the_outer_level_finds_the_contrast_that_helps():
    """Held-out truth that follows from contrast 2 alone: its weight grows, the network stays."""
    torch.manual_seed(0)
    network = MetaKDNet(channels=[4], decoder_channels=[4])
    images = torch.randn(1, 4, 8, 8, 8)
    truth = (images[:, 2:3] > 0).float().expand(-1, 3, -1, -1, -1)
    for i, encoder in enumerate(network.encoders):  # contrast i's features are its image or noise
        encoder.forward = lambda x, i=i: [x.expand(-1, 4, -1, -1, -1)]
    available = torch.ones(1, 4, dtype=torch.bool)
    features = [network.encode(i, images[:, i, None]) for i in range(4)]

    def held_out_loss():
        scaled = scale_by_importance(features, network.importance)
        mean = torch.stack([f[0] for f in network.generate(scaled, available)]).mean(dim=0)
        return segmentation_loss(mean[:, :3] * 4, truth)

    before = {name: p.clone() for name, p in network.named_parameters()}
    optimizer = torch.optim.Adam([network.importance_logits], lr=0.1)
    losses = [
        importance_step(held_out_loss, network.importance_logits, optimizer) for _ in range(20)
    ]
    assert losses[-1] < losses[0]
    assert network.importance.argmax().item() == 2
    for name, parameter in network.named_parameters():
        assert name == "importance_logits" or torch.equal(parameter, before[name])


def test_random_subsets_are_never_empty_and_cover_all_fifteen():
    generator = torch.Generator().manual_seed(0)
    drawn = {tuple(random_subset(4, generator).tolist()) for _ in range(400)}
    assert len(drawn) == 15
    assert (False,) * 4 not in drawn


def test_an_empty_region_predicted_empty_costs_almost_nothing():
    empty = torch.zeros(1, 3, 8, 8, 8)
    assert segmentation_loss(empty - 20, empty).item() < 1e-3
    assert segmentation_loss(empty + 20, empty).item() > 1
