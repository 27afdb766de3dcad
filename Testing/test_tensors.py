import numpy as np
import pytest
import torch
from metakd.contrasts import Contrast
from metakd.model import load_model
from metakd.phantom import PhantomSettings, make_phantom
from metakd.segment import Options, segment
from metakd.study import make_study
from metakd.tensors import to_array, to_tensor


@pytest.mark.parametrize("shape", [(3,), (2, 3, 4), (1, 1, 5)])
def test_values_survive_there_and_back(shape):
    array = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    assert np.array_equal(to_array(to_tensor(array)), array)


def test_flipped_and_strided_arrays_keep_their_order():
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)[::-1, :, ::2]
    assert to_tensor(array).tolist() == array.tolist()


def test_transposed_and_half_precision_tensors_keep_their_values():
    tensor = torch.arange(6.0).reshape(2, 3).T.to(torch.bfloat16)
    assert to_array(tensor).tolist() == tensor.tolist()


def test_an_array_is_a_copy_that_outlives_its_tensor():
    tensor = torch.ones(4)
    array = to_array(tensor)
    tensor.zero_()
    assert array.tolist() == [1, 1, 1, 1]


def test_segmenting_never_uses_torchs_numpy_bridge(monkeypatch):
    """A torch built for numpy 1 beside numpy 2 raises in these places."""

    def broken(*_, **__):
        raise RuntimeError("Numpy is not available")

    monkeypatch.setattr(torch, "from_numpy", broken)
    for method in ("numpy", "__array__"):
        monkeypatch.setattr(torch.Tensor, method, broken)
    phantom = make_phantom(1001, PhantomSettings(spacing=4.0))
    study = make_study({Contrast.FLAIR: phantom.images[Contrast.FLAIR]})
    result = segment(study, load_model(), Options(device="cpu"))
    assert result.label_map.GetSize() == phantom.labels.GetSize()
