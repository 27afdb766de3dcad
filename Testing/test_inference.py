import threading

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from metakd.contrasts import CONTRASTS, Contrast
from metakd.inference import (
    DeviceError,
    choose_device,
    leave_a_core_free,
    predict,
    units_of_work,
)
from metakd.network import MetaKDNet
from metakd.preprocess import PreparedStudy
from metakd.progress import Cancelled

CPU = torch.device("cpu")
SHAPE = (48, 64, 32)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return MetaKDNet(channels=[4, 8], decoder_channels=[4, 8]).eval()


def prepared(contrasts=CONTRASTS, shape=SHAPE):
    rng = np.random.default_rng(0)
    grid = sitk.Image(shape[::-1], sitk.sitkUInt8)
    channels = {c: rng.normal(size=shape).astype(np.float32) for c in contrasts}
    return PreparedStudy(channels, np.ones(shape, dtype=bool), grid, grid)


def test_one_pass_equals_the_network_itself(network):
    study = prepared([Contrast.T1C, Contrast.FLAIR])
    images = torch.zeros(1, 4, *SHAPE)
    for contrast, channel in study.channels.items():
        images[0, contrast.index] = torch.tensor(channel.tolist())
    with torch.no_grad():
        available = torch.tensor([[False, True, False, True]])
        expected = torch.sigmoid(network(images, available))[0]
    result = predict(network, study, CPU)
    assert result.window is None
    np.testing.assert_allclose(result.probabilities, expected.tolist(), atol=1e-6)


@pytest.mark.parametrize("window", [16, 24, 32, 40])
def test_windows_cover_every_voxel_with_weights_that_add_up(network, window, monkeypatch):
    """A network that returns its input shows every voxel in its own place, seams included."""
    study = prepared([Contrast.T1])
    expected = torch.sigmoid(torch.tensor(study.channels[Contrast.T1].tolist()))
    monkeypatch.setattr(network, "encode", lambda contrast, image: [image])
    monkeypatch.setattr(network, "decode", lambda pyramids: pyramids[0][0].expand(-1, 3, *[-1] * 3))
    result = predict(network, study, CPU, window=window)
    for region in result.probabilities:
        np.testing.assert_allclose(region, expected.tolist(), atol=1e-5)


def test_progress_counts_every_encoder_and_decoder_pass(network):
    steps = []
    predict(
        network, prepared([Contrast.T1, Contrast.T2]), CPU, on_progress=lambda *s: steps.append(s)
    )
    assert steps == [("encode", 1, 3), ("encode", 2, 3), ("decode", 3, 3)]


def test_a_sliding_window_counts_its_windows_too(network):
    steps = []
    predict(
        network, prepared([Contrast.T1]), CPU, window=32, on_progress=lambda *s: steps.append(s)
    )
    assert steps[-1][1:] == (len(steps), len(steps))
    assert len(steps) == 2 * (2 * 3 * 1) == units_of_work(SHAPE, 1, network.stride, CPU, 32)


def test_cancelling_stops_before_the_next_unit_of_work(network):
    steps = []
    with pytest.raises(Cancelled):
        predict(
            network,
            prepared(),
            CPU,
            on_progress=lambda *s: steps.append(s),
            is_cancelled=lambda: len(steps) == 2,
        )
    assert len(steps) == 2


def test_what_is_done_goes_on_growing_when_a_smaller_window_is_tried(network, monkeypatch):
    generate, steps = network.generate, []

    def scarce(features, available):
        if features[0][0].shape[2] > 48:
            raise MemoryError
        return generate(features, available)

    monkeypatch.setattr(network, "generate", scarce)
    study = prepared([Contrast.T1], (160, 32, 32))
    predict(network, study, CPU, on_progress=lambda *s: steps.append(s))
    first = units_of_work(study.shape, 1, network.stride, CPU)
    assert [done for _, done, _ in steps] == list(range(1, len(steps) + 1))
    assert steps[0] == ("encode", 1, first)
    assert steps[1] == ("encode", 2, 1 + units_of_work(study.shape, 1, network.stride, CPU, 128))
    assert steps[-1][1] == steps[-1][2]


def test_after_a_failure_of_onednn_another_thread_goes_on(network, monkeypatch):
    encode, threads = network.encode, []

    def broken(contrast, image):
        threads.append(threading.get_ident())
        if len(set(threads)) == 1:
            raise RuntimeError("could not create a primitive")
        return encode(contrast, image)

    monkeypatch.setattr("metakd.inference._Job.own_thread", False)
    monkeypatch.setattr(network, "encode", broken)
    study = prepared([Contrast.T1], (160, 32, 32))
    assert predict(network, study, CPU).window == 128
    assert threads[0] == threading.get_ident()


@pytest.mark.parametrize(
    "message",
    [
        None,
        "CUDA out of memory. Tried to allocate 20 GiB",
        "DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes",
        "DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "Invalid buffer size: 20.00 GiB",
    ],
)
def test_a_smaller_window_is_tried_when_memory_runs_out(network, monkeypatch, message):
    encode, tried = network.encode, []

    def scarce(contrast, image):
        tried.append(max(image.shape))
        if max(image.shape) > 64:
            raise RuntimeError(message) if message else MemoryError
        return encode(contrast, image)

    monkeypatch.setattr(network, "encode", scarce)
    result = predict(network, prepared([Contrast.T1], (160, 32, 32)), CPU)
    assert result.window == 64
    assert tried[:4] == [160, 128, 96, 64]
    assert np.isfinite(result.probabilities).all()


def test_when_not_even_the_smallest_window_fits_the_error_says_so(network, monkeypatch):
    def full(contrast, image):
        raise MemoryError

    monkeypatch.setattr(network, "encode", full)
    with pytest.raises(MemoryError, match="close other programs"):
        predict(network, prepared([Contrast.T1]), CPU)


def test_an_error_that_is_not_about_memory_is_not_retried(network, monkeypatch):
    def broken(contrast, image):
        raise RuntimeError("size mismatch")

    monkeypatch.setattr(network, "encode", broken)
    with pytest.raises(RuntimeError, match="size mismatch"):
        predict(network, prepared([Contrast.T1]), CPU)


def test_a_box_too_large_for_the_processor_is_windowed_from_the_start(network, monkeypatch):
    monkeypatch.setattr("metakd.inference._WHOLE_BOX_VOXELS_ON_CPU", 50_000)
    result = predict(network, prepared([Contrast.T1], (160, 32, 32)), CPU)
    assert result.window == 128


def test_auto_finds_a_device_that_computes():
    device = choose_device("auto")
    assert torch.ones(2, device=device).sum().item() == 2


@pytest.mark.parametrize("name", ["cuda:77", "toaster", "hpu"])
def test_a_device_that_is_not_there_is_refused_by_name(name):
    with pytest.raises(DeviceError, match=f"'{name}' cannot be used"):
        choose_device(name)


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 2), (3, 2), (8, 7)])
def test_one_core_stays_free_where_there_are_more_than_two(monkeypatch, cores, threads):
    before = torch.get_num_threads()
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    torch.set_num_threads(cores)
    leave_a_core_free()
    found = torch.get_num_threads(), sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    torch.set_num_threads(before)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)
    assert found == (threads, threads)
