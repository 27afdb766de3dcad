"""Which contrasts a training sample may use."""

import pytest
import torch
from metakd.contrasts import CONTRASTS, SUBSETS
from metakd_training.config.sections import Subsets
from metakd_training.subsets import SubsetSampler, all_subsets

ALL = torch.ones(4, dtype=torch.bool)
SAMPLERS = ("uniform", "by_count", "hard", "full")


def draws(sampler, count, present=ALL, step=0):
    """(count, N): subsets drawn with numbers that are the same each time."""
    chance = torch.rand(count, generator=torch.Generator().manual_seed(0))
    return sampler.draw(step, present.expand(count, -1), chance)


def frequencies(drawn):
    """(S,): how often each subset was drawn, in the order of `all_subsets`."""
    same = (drawn[:, None] == all_subsets(drawn.shape[1])).all(dim=2)
    assert (same.sum(dim=1) == 1).all()
    return same.float().mean(dim=0)


def test_the_subsets_are_the_engines_in_its_order():
    named = [frozenset(c for c, on in zip(CONTRASTS, row, strict=True) if on)
             for row in all_subsets(4).tolist()]  # fmt: skip
    assert tuple(named) == SUBSETS


@pytest.mark.parametrize("modalities", [1, 2, 3, 5])
def test_any_number_of_modalities_has_every_subset_once(modalities):
    rows = all_subsets(modalities).tolist()
    assert len(rows) == len(set(map(tuple, rows))) == 2**modalities - 1
    assert all(map(any, rows))
    assert rows[-1] == [True] * modalities


@pytest.mark.parametrize("sampler", ["uniform", "hard"])
def test_every_subset_is_as_likely_until_something_was_learnt(sampler):
    found = frequencies(draws(SubsetSampler(Subsets(sampler=sampler), 4), 3000))
    assert torch.allclose(found, torch.full((15,), 1 / 15), atol=0.015)


def test_by_count_draws_how_many_first_and_then_which():
    found = frequencies(draws(SubsetSampler(Subsets(sampler="by_count"), 4), 3000))
    sizes = all_subsets(4).sum(dim=1)
    for size, subsets in ((1, 4), (2, 6), (3, 4), (4, 1)):
        each = found[sizes == size]
        assert len(each) == subsets
        assert torch.allclose(each, torch.full((subsets,), 1 / 4 / subsets), atol=0.02), size
        assert each.sum() == pytest.approx(1 / 4, abs=0.03)


def test_full_draws_all_contrasts_always():
    assert draws(SubsetSampler(Subsets(sampler="full"), 4), 50).all()


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("present", all_subsets(4).tolist(), ids=str)
def test_no_sample_is_empty_or_uses_what_the_patient_lacks(sampler, present):
    present = torch.tensor(present)
    drawn = draws(SubsetSampler(Subsets(sampler=sampler), 4), 40, present)
    assert drawn.any(dim=1).all()
    assert (drawn <= present).all()


def test_a_patient_who_lacks_a_contrast_still_comes_with_every_subset_of_the_others():
    present = torch.tensor([True, False, True, True])
    found = frequencies(draws(SubsetSampler(Subsets(sampler="uniform"), 4), 2000, present))
    possible = (all_subsets(4) <= present).all(dim=1)
    assert possible.sum() == 7
    assert torch.allclose(found[possible], torch.full((7,), 1 / 7), atol=0.03)


def test_full_gives_a_patient_who_lacks_a_contrast_all_that_is_there():
    present = torch.tensor([True, False, True, True])
    drawn = draws(SubsetSampler(Subsets(sampler="full"), 4), 20, present)
    assert (drawn == present).all()


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_before_the_first_step_of_subsets_everything_there_is_is_used(sampler):
    made = SubsetSampler(Subsets(sampler=sampler, from_step=10), 4)
    lacking = torch.tensor([False, True, True, True])
    assert draws(made, 40, step=9).all()
    assert (draws(made, 40, lacking, step=0) == lacking).all()
    if sampler != "full":
        assert not draws(made, 40, step=10).all()


def test_the_same_numbers_draw_the_same_subsets_and_others_others():
    made = SubsetSampler(Subsets(), 4)
    assert torch.equal(draws(made, 30), draws(made, 30))
    others = made.draw(0, ALL.expand(30, -1), torch.rand(30))
    assert not torch.equal(draws(made, 30), others)


def test_hard_prefers_the_subsets_that_score_low_and_leaves_none_out():
    sampler = SubsetSampler(Subsets(sampler="hard"), 4)
    scores = torch.linspace(0.2, 1.0, 15)
    sampler.learn(scores)
    found = frequencies(draws(sampler, 4000))
    assert (found > 0).all()
    assert found[0] > 5 * found[-1]
    # In proportion to 1 − score.
    assert torch.allclose(found[:8] / found[0], (1 - scores[:8]) / 0.8, atol=0.2)


def test_hard_goes_by_the_last_scores_and_not_by_all_of_them():
    sampler = SubsetSampler(Subsets(sampler="hard"), 4)
    for scores in (torch.linspace(0.0, 1.0, 15), torch.linspace(1.0, 0.0, 15)):
        sampler.learn(scores)
    found = frequencies(draws(sampler, 2000))
    assert found[-1] > 5 * found[0]


def test_hard_has_something_to_draw_when_all_subsets_are_solved():
    sampler = SubsetSampler(Subsets(sampler="hard"), 4)
    sampler.learn(torch.ones(15))
    found = frequencies(draws(sampler, 3000))
    assert torch.allclose(found, torch.full((15,), 1 / 15), atol=0.015)


@pytest.mark.parametrize("sampler", ["uniform", "by_count", "full"])
def test_the_other_samplers_do_not_learn(sampler):
    made = SubsetSampler(Subsets(sampler=sampler), 4)
    before = draws(made, 100)
    made.learn(torch.linspace(0.0, 1.0, 15))
    assert torch.equal(draws(made, 100), before)
