"""The methods on a toy task that no image is needed for, and on the network itself."""

import copy

import pytest
import torch
from metakd.network import MetaKDNet
from metakd_training.config.sections import DropoutSettings, LCKDSettings, MetaKDSettings
from metakd_training.methods import make_method
from metakd_training.methods.distillation import pairwise, whole
from metakd_training.methods.lckd import best_of_each
from metakd_training.methods.method import Batch, Surroundings
from metakd_training.tasks.segmentation import Segmentation
from torch import nn
from torch.nn import functional as F

OUTPUTS = 2


class ToyNetwork(nn.Module):
    """A linear encoder a modality, features of 3 numbers, a linear decoder."""

    def __init__(self, modalities):
        super().__init__()
        self.encoders = nn.ModuleList(nn.Linear(2, 3) for _ in range(modalities))
        self.decoder = nn.Linear(3 * modalities, OUTPUTS)
        self.register_buffer("importance_logits", torch.zeros(modalities))

    def encode_where(self, i, values, has):
        return [torch.tanh(self.encoders[i](values))] if has.any() else None

    generate = staticmethod(MetaKDNet.generate)

    def decode(self, pyramids):
        return self.decoder(torch.cat([pyramid[-1] for pyramid in pyramids], dim=1))


class ToyTask:
    def loss(self, logits, target):
        return (logits - target) ** 2

    def agreement(self, logits, teacher):
        return (logits - teacher) ** 2

    def parts(self, target, features):
        return torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=target.dtype)[: len(target)]


def toy_batch(modalities=2, seed=0, available=None):
    generator = torch.Generator().manual_seed(seed)
    inputs = [torch.randn(2, 2, generator=generator) for _ in range(modalities)]
    target = torch.randn(2, OUTPUTS, generator=generator)
    present = torch.ones(2, modalities, dtype=torch.bool)
    return Batch(inputs, target, present, present if available is None else torch.tensor(available))


def toy_method(settings, modalities=2, full_pass=False, teacher=None):
    torch.manual_seed(0)
    return make_method(
        settings, ToyNetwork(modalities), ToyTask(), full_pass=full_pass, modalities=modalities,
        outputs=OUTPUTS, teacher=teacher,
    )  # fmt: skip


def metakd(**settings):
    return MetaKDSettings(name="metakd", **settings)


def surroundings(step, batch, held_out=None, validate=None):
    return Surroundings(step, 0.1, batch, lambda number: held_out, validate, lambda values: values)


FEATURES = [torch.tensor([[1.0, 3.0]]), torch.tensor([[2.0, 5.0]]), torch.tensor([[2.0, 2.0]])]
ALL = torch.ones(1, 3, dtype=torch.bool)


def distance_of(distance="l1", teachers=ALL, students=ALL, weights=(1.0, 1.0, 1.0), features=None):
    w = torch.tensor([weights])
    return pairwise(
        features or FEATURES, teachers=teachers, students=students,
        coefficients=w[:, :, None] / w[:, None, :], parts=whole(FEATURES[0]), distance=distance,
    ).item()  # fmt: skip


def test_distillation_is_the_papers_sum_over_ordered_pairs():
    """L1 between them, mean over channels: 1.5, 1.0, 1.5; each pair counts both ways."""
    assert distance_of() == pytest.approx(2 * (1.5 + 1.0 + 1.5))
    # A teacher twice as important as its pupil counts double, the way back half.
    assert distance_of(weights=(2.0, 1.0, 1.0)) == pytest.approx(2.5 * 1.5 + 2.5 * 1.0 + 2 * 1.5)


def test_the_three_distances_by_hand():
    assert distance_of("l2") == pytest.approx(2 * ((1 + 4) / 2 + (1 + 1) / 2 + 9 / 2))
    one, other, third = (f[0] / f[0].norm() for f in FEATURES)
    cosines = one @ other + one @ third + other @ third
    assert distance_of("cosine") == pytest.approx(2 * (3 - cosines.item()), abs=1e-6)


def test_only_teachers_teach_and_only_students_learn():
    first, second = torch.tensor([[True, False, False]]), torch.tensor([[False, True, False]])
    assert distance_of(teachers=first, students=second) == pytest.approx(1.5)
    assert distance_of(teachers=first, students=first) == 0
    assert distance_of(features=[FEATURES[0], None, FEATURES[2]]) == pytest.approx(2.0)
    features = [torch.ones(1, 2, requires_grad=True), torch.zeros(1, 2, requires_grad=True)]
    loss = pairwise(features, teachers=torch.tensor([[True, False]]), distance="l1",
                    students=torch.tensor([[False, True]]), coefficients=torch.ones(1, 2, 2),
                    parts=torch.ones(1, 1))  # fmt: skip
    loss.backward()
    assert features[0].grad is None
    assert features[1].grad.abs().sum() > 0


def test_a_parts_distance_is_measured_where_it_lies():
    """Two places, features apart by 1 in the first and 3 in the second; the parts are one each."""
    teacher, student = torch.zeros(1, 1, 2), torch.tensor([[[1.0, 3.0]]])
    coefficients = torch.ones(2, 2, 2)
    coefficients[1] = 10
    found = pairwise([teacher, student], teachers=torch.tensor([[True, False]]),
                     students=torch.tensor([[False, True]]), coefficients=coefficients,
                     parts=torch.eye(2)[None], distance="l1")  # fmt: skip
    assert found.item() == pytest.approx((1 * 1 + 10 * 3) / 2)


@pytest.mark.parametrize("volume", [8.0, 1.0, 0.05])
def test_a_small_parts_distance_is_a_mean_too(volume):
    """Parts are pooled to the features' grid: a small region is a fraction of one place."""
    found = pairwise([torch.zeros(1, 1, 8), torch.ones(1, 1, 8)], distance="l1",
                     teachers=torch.tensor([[True, False]]), students=torch.tensor([[False, True]]),
                     coefficients=torch.ones(1, 2, 2), parts=torch.full((1, 1, 8), volume / 8)
                     )  # fmt: skip
    assert found.item() == pytest.approx(1)


def test_an_output_on_which_nobody_is_ahead_elects_nobody():
    scores = torch.tensor([[0.0, 1.0, 0.2], [0.0, 1.0, 0.5], [0.0, 1.0, 0.5]])
    assert best_of_each(scores).tolist() == [False, True, True]


@pytest.mark.parametrize("teachers", ["available", "all"])
def test_single_contrast_draws_learn_only_from_teachers_left_out_of_the_subset(teachers):
    method = toy_method(metakd(teachers=teachers))
    losses = method(toy_batch(available=[[True, False], [True, False]]))
    assert (losses["distillation"] > 0) == (teachers == "all")


def test_absent_modalities_are_not_encoded_unless_a_method_needs_them():
    seen = {}

    class Spy(ToyNetwork):
        def encode_where(self, i, values, has):
            seen[i] = bool(has.any())
            return super().encode_where(i, values, has)

    for full_pass in (False, True):
        method = make_method(DropoutSettings(name="dropout"), Spy(2), ToyTask(),
                             full_pass=full_pass, modalities=2, outputs=OUTPUTS)  # fmt: skip
        method(toy_batch(available=[[True, False], [True, False]]))
        assert seen == {0: True, 1: full_pass}


def test_dropout_is_the_tasks_loss_alone():
    batch = toy_batch(available=[[True, False], [True, True]])
    method = toy_method(DropoutSettings(name="dropout"))
    losses = method(batch)
    assert set(losses) == {"loss", "task"}
    encoders = method.network.encoders
    features = [[torch.tanh(e(x))] for e, x in zip(encoders, batch.inputs, strict=True)]
    logits = method.network.decode(MetaKDNet.generate(features, batch.available))
    assert losses["loss"].item() == pytest.approx(F.mse_loss(logits, batch.target).item())
    full = toy_method(DropoutSettings(name="dropout"), full_pass=True)(batch)
    every = method.network.decode(features)
    assert full["loss"].item() == pytest.approx(
        (F.mse_loss(logits, batch.target) + F.mse_loss(every, batch.target)).item() / 2
    )


def test_the_logit_teacher_pulls_the_logits():
    answer = torch.full((2, OUTPUTS), 7.0)
    method = toy_method(metakd(alpha=0.0, beta=0.5), teacher=lambda batch: answer)
    batch = toy_batch()
    losses = method(batch)
    logits = method.decode(method.encode(batch), batch.available)
    assert losses["logit teacher"].item() == pytest.approx(0.5 * F.mse_loss(logits, answer).item())
    assert losses["loss"].item() == pytest.approx((losses["task"] + losses["logit teacher"]).item())


OUTER = [{"unrolled": u, "weights": w, "per_output": p, "distance": d}
         for u in (False, True) for w in ("softmax", "sigmoid")
         for p in (False, True) for d in ("l1", "cosine")]  # fmt: skip


@pytest.mark.parametrize("options", OUTER, ids=lambda o: "-".join(map(str, o.values())))
def test_the_outer_gradient_is_that_of_finite_differences(options):
    """By hand: move a logit, take the inner step with it, look at the held-out loss."""
    rate = 0.3
    method = toy_method(metakd(alpha=2.0, **options)).double()
    train, held_out = (double(toy_batch(seed=s)) for s in (1, 2))
    with torch.no_grad():
        method.logits.copy_(torch.tensor([0.3, -0.2]).expand_as(method.logits))
    start = {name: p.detach().clone() for name, p in method.network.named_parameters()}

    def outer(logits):
        with torch.no_grad():
            method.logits.copy_(logits)
        if options["unrolled"]:
            method.network.zero_grad()
            method(train)["loss"].backward()
            with torch.no_grad():
                for p in method.network.parameters():
                    p -= rate * p.grad
        loss = method.held_out_loss(held_out).item()
        method.network.load_state_dict({**method.network.state_dict(), **start})
        return loss

    base, step = method.logits.detach().clone(), 1e-5
    expected = torch.zeros_like(base)
    for place in torch.ones_like(base).nonzero():
        shift = torch.zeros_like(base)
        shift[tuple(place)] = step
        expected[tuple(place)] = (outer(base + shift) - outer(base - shift)) / (2 * step)
    with torch.no_grad():
        method.logits.copy_(base)
    loss, gradient = method.outer_gradient(train, held_out, rate)
    assert loss == pytest.approx(outer(base))
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-7)
    for name, parameter in method.network.named_parameters():
        assert torch.equal(parameter, start[name]), "the outer level moves no weight"


def double(batch):
    return Batch([x.double() for x in batch.inputs], batch.target.double(), batch.present,
                 batch.available)  # fmt: skip


def test_unrolled_and_first_order_steps_differ():
    gradients = []
    for unrolled in (False, True):
        method = toy_method(metakd(alpha=20.0, unrolled=unrolled))
        gradients.append(method.outer_gradient(toy_batch(seed=1), toy_batch(seed=2), 0.3)[1])
    assert not torch.allclose(*gradients, rtol=1e-2)


@pytest.mark.parametrize("unrolled", [False, True])
def test_importance_moves_to_the_modality_that_carries_the_signal(unrolled):
    """The target is a function of the first modality; the second is noise."""
    method = toy_method(metakd(learning_rate=0.05, every=1, unrolled=unrolled, alpha=0.01))
    optimizer = torch.optim.Adam(method.network.parameters(), lr=0.01)

    def batch(seed):
        drawn = toy_batch(seed=seed)
        drawn.target = 2 * drawn.inputs[0]
        return drawn

    for step in range(1, 301):
        train = batch(step)
        method(train)["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
        method.between_steps(surroundings(step, train, held_out=batch(-step)))
    first, second = method.importance[0].tolist()
    assert first > 1.1 > 0.9 > second
    torch.testing.assert_close(
        MetaKDNet.importance.fget(method.network), method.importance[0].detach()
    )  # what the saved model shows


def test_importance_is_updated_when_it_is_due_and_its_optimiser_survives_a_checkpoint():
    method = toy_method(metakd(every=3))
    numbers = [
        method.between_steps(surroundings(step, toy_batch(), held_out=toy_batch(seed=step)))
        for step in range(1, 7)
    ]
    assert [bool(n) for n in numbers] == [False, False, True, False, False, True]
    again = toy_method(metakd(every=3))
    again.load_state_dict(copy.deepcopy(method.state_dict()))
    for m in (method, again):
        m.between_steps(surroundings(9, toy_batch(), held_out=toy_batch(seed=9)))
    assert torch.equal(method.logits, again.logits)


def test_lckd_elects_the_best_modality_of_each_output_and_only_they_teach():
    method = toy_method(LCKDSettings(name="lckd", every=5), modalities=3)
    batch = toy_batch(modalities=3)
    assert method(batch)["distillation"] == 0  # nobody before the first election
    asked = []

    def validate(subsets):
        asked.append(subsets)
        return torch.tensor([[0.9, 0.1], [0.2, 0.2], [0.3, 0.6]])

    assert method.between_steps(surroundings(4, batch, validate=validate)) == {}
    method.between_steps(surroundings(5, batch, validate=validate))
    assert torch.equal(asked[0], torch.eye(3, dtype=torch.bool))
    assert method.elected.tolist() == [True, False, True]
    method(batch)["distillation"].backward()
    pupils = [e.weight.grad is not None and e.weight.grad.abs().sum() > 0
              for e in method.network.encoders]  # fmt: skip
    assert pupils == [True, True, True]  # teachers learn from each other, as in the paper's code
    method.elected.copy_(torch.tensor([True, False, False]))
    method.network.zero_grad()
    method(batch)["distillation"].backward()
    assert method.network.encoders[0].weight.grad is None
    assert method.network.encoders[1].weight.grad.abs().sum() > 0


def image_batch(seed, side=16):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(1, 4, side, side, side, generator=generator)
    target = (torch.rand(1, 3, side, side, side, generator=generator) > 0.7).float()
    everything = torch.ones(1, 4, dtype=torch.bool)
    inputs = [images[:, i, None] for i in range(4)]
    return Batch(inputs, target, everything, torch.tensor([[True, False, True, False]]))


@pytest.mark.parametrize(
    "options",
    [{}, {"unrolled": True}, {"scales": "every"}, {"per_output": True, "scales": "every"},
     {"distance": "cosine", "weights": "sigmoid", "teachers": "all"}],
    ids=str,
)  # fmt: skip
def test_every_option_runs_on_the_segmentation_network(options):
    torch.manual_seed(0)
    network = MetaKDNet(channels=[4, 8], decoder_channels=[4, 8])
    method = make_method(metakd(every=1, **options), network, Segmentation(), full_pass=False,
                         modalities=4, outputs=3)  # fmt: skip
    method(image_batch(0))["loss"].backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    method.between_steps(surroundings(1, image_batch(1), held_out=image_batch(2)))
    assert not torch.equal(method.logits, torch.zeros_like(method.logits))
    for name, value in network.state_dict().items():
        assert name == "importance_logits" or torch.equal(value, before[name]), (
            f"held-out patients left a trace in {name}"
        )
