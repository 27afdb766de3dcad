"""Reading IDX files, pictures, sounds and volumes: their values, and every file that is refused."""

import gzip
import struct
import warnings
import wave

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from PIL import Image as Picture

librosa = pytest.importorskip("librosa", reason="needs the packages of metakd-training's extra")
soundfile = pytest.importorskip("soundfile", reason="comes with librosa")

from metakd_training.config.classification import Image, Spectrogram, Volume  # noqa: E402
from metakd_training.data.media import (  # noqa: E402
    image_input,
    read_idx,
    read_image,
    read_sound,
    read_volume,
)

IMAGE = Image(kind="image", size=(6, 4))
SOUND = Spectrogram(kind="spectrogram", frames=8)
VOLUME = Volume(kind="volume", files="{name}.nii.gz", size=(4, 6, 8))


@pytest.fixture
def write(tmp_path):
    """`write(name, content)`: the path of a file with these bytes."""

    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


def idx(array, kind=8):
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    return bytes([0, 0, kind, array.ndim]) + sizes + array.tobytes()


def refused(read, path, problem, *settings):
    """Reading is refused in one line that begins with the file."""
    with pytest.raises(ValueError, match=problem) as refusal:
        read(path, *settings)
    assert str(refusal.value).startswith(f"{path}: ")
    assert "\n" not in str(refusal.value)


# IDX

PIXELS = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)


@pytest.mark.parametrize("array", [PIXELS, PIXELS[0, 0]])
def test_idx_is_read_plain_and_packed_whatever_its_name(write, array):
    for name, content in (("plain", idx(array)), ("packed", gzip.compress(idx(array)))):
        read = read_idx(write(name, content))
        assert (read.dtype, read.shape) == (np.uint8, array.shape)
        assert (read == array).all()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "no IDX file"),
        (b"\0\0", "no IDX file"),
        (b"RIFF" + idx(PIXELS), "no IDX file"),
        (idx(PIXELS.astype(">i4"), kind=0x0C), "IDX type 0x0c; only bytes"),
        (idx(PIXELS)[:14], "header is damaged"),
        (b"\0\0\x08\0", "header is damaged"),
        (b"\0\0\x08\xff" + bytes([0, 0, 0, 1] * 255 + [7]), "header is damaged"),
        (idx(PIXELS[:0]), "has 0 bytes of values, but its header says 0 × 3 × 4"),
        (idx(PIXELS)[:-1], "has 23 bytes of values, but its header says 2 × 3 × 4"),
        (idx(PIXELS) + b"\0", "has 25 bytes of values, but its header says 2 × 3 × 4"),
        (gzip.compress(idx(PIXELS))[:-9], "cannot be unpacked"),
        (gzip.compress(idx(PIXELS))[:-8] + bytes(8), "cannot be unpacked"),
        (gzip.compress(idx(PIXELS))[:10] + b"\xff" * 30, "cannot be unpacked"),
    ],
)
def test_what_is_no_whole_idx_file_is_refused_by_name(write, content, problem):
    refused(read_idx, write("digits.gz", content), problem)


def test_a_missing_idx_file_is_refused_by_name(tmp_path):
    refused(read_idx, tmp_path / "digits.gz", "no such file")


# Pictures


def test_a_picture_of_the_size_goes_from_minus_1_to_1(tmp_path):
    pixels = np.array([[0, 255, 51, 102]] * 5 + [[255, 0, 0, 0]], dtype=np.uint8)
    Picture.fromarray(pixels).save(tmp_path / "one.png")
    read = read_image(tmp_path / "one.png", IMAGE)
    assert (read.shape, read.dtype) == ((1, 6, 4), torch.float32)
    assert torch.allclose(read[0, 0], torch.tensor([-1.0, 1.0, -0.6, -0.2]))
    assert torch.equal(read[0, 5], torch.tensor([1.0, -1.0, -1.0, -1.0]))
    assert torch.equal(read, image_input(pixels, IMAGE))


def test_a_picture_of_another_size_is_resized_and_keeps_its_places():
    pixels = np.zeros((12, 8), dtype=np.uint8)
    pixels[:6, :4] = 255
    read = image_input(pixels, IMAGE)[0]
    assert read.shape == (6, 4)
    assert (read[:2, :1] == 1).all()
    assert (read[4:] == -1).all()
    assert (read[:, 3:] == -1).all()
    assert read.mean() == pytest.approx(-0.5, abs=1e-6)


def test_a_line_does_not_vanish_when_a_picture_shrinks():
    for column in range(16):
        pixels = np.zeros((24, 16), dtype=np.uint8)
        pixels[:, column] = 255
        assert (image_input(pixels, IMAGE)[0].max(dim=1).values > -0.8).all()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "1", "LA"])
def test_colours_become_grey(tmp_path, mode):
    white = Picture.new("L", (4, 6), 255).convert(mode)
    white.save(tmp_path / "white.png")
    assert (read_image(tmp_path / "white.png", IMAGE) == 1).all()


def test_a_picture_that_is_cut_or_none_is_refused_by_name(tmp_path, write):
    noise = np.random.default_rng(1).integers(0, 256, (40, 40), dtype=np.uint8)
    Picture.fromarray(noise).save(tmp_path / "whole.png")
    content = (tmp_path / "whole.png").read_bytes()
    damaged = content[:60] + bytes(40) + content[100:]
    for bad in (content[: len(content) // 2], damaged, b"", b"no picture"):
        refused(read_image, write("bad.png", bad), "no readable picture", IMAGE)
    refused(read_image, tmp_path / "none.png", "no such file", IMAGE)
    refused(read_image, tmp_path, "no such file", IMAGE)


@pytest.mark.parametrize(("kind", "name"), [(np.uint16, "deep.png"), (np.float32, "deep.tif")])
def test_a_picture_of_more_than_8_bits_is_refused_instead_of_cut(tmp_path, kind, name):
    Picture.fromarray(np.full((6, 4), 300, dtype=kind)).save(tmp_path / name)
    refused(read_image, tmp_path / name, "more than 8 bits", IMAGE)


# Sounds


@pytest.fixture
def write_wav(tmp_path):
    """`write_wav(content, …)`: the path of a wav file; content are bytes of its samples."""

    def write(content, *, width=2, rate=8000, channels=1, name="0_theo_1.wav"):
        with wave.open(str(tmp_path / name), "wb") as file:
            file.setnchannels(channels)
            file.setsampwidth(width)
            file.setframerate(rate)
            file.writeframes(content)
        return tmp_path / name

    return write


def spoken(count=3000, seed=1):
    """Samples of 16 bits, with a spectrum that changes."""
    rng = np.random.default_rng(seed)
    time = np.arange(count) / 8000
    tone = np.sin(2 * np.pi * (300 + 900 * time) * time) + 0.1 * rng.standard_normal(count)
    return (8000 * tone).astype("<i2")


@pytest.mark.parametrize("keep_every", [1, 3])
def test_sounds_are_librosas_coefficients_filled_with_zeros(write_wav, keep_every):
    settings = SOUND.model_copy(update={"keep_every": keep_every, "coefficients": 13})
    read = read_sound(write_wav(spoken().tobytes()), settings)
    kept = (spoken() / 32768).astype(np.float32)[::keep_every]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = torch.from_numpy(librosa.feature.mfcc(y=kept, sr=8000, n_mfcc=13))
    frames = expected.shape[1]
    assert (read.shape, read.dtype, frames) == ((1, 13, 8), torch.float32, {1: 6, 3: 2}[keep_every])
    assert torch.allclose(read[0, :, :frames], expected, atol=1e-3)
    assert not read[0, :, frames:].any()


def test_a_long_sound_is_cut(write_wav):
    path = write_wav(spoken(9000).tobytes())
    long = read_sound(path, SOUND.model_copy(update={"frames": 20}))
    assert torch.equal(read_sound(path, SOUND), long[..., :8])
    assert long[0, 0, 17] != 0


@pytest.mark.parametrize("width", [3, 4])
def test_finer_samples_are_read_alike(write_wav, width):
    wide = (spoken().astype("<i4") * 2**16).view(np.uint8).reshape(-1, 4)[:, 4 - width :]
    expected = read_sound(write_wav(spoken().tobytes(), name="short.wav"), SOUND)
    assert torch.equal(read_sound(write_wav(wide.tobytes(), width=width), SOUND), expected)


def test_bytes_are_read_as_samples_around_128(write_wav):
    coarse = spoken() // 256 * 256
    expected = read_sound(write_wav(coarse.tobytes(), name="short.wav"), SOUND)
    content = (coarse // 256 + 128).astype(np.uint8).tobytes()
    assert torch.equal(read_sound(write_wav(content, width=1), SOUND), expected)


def test_channels_are_averaged(write_wav):
    left, right = spoken(seed=1), spoken(seed=2)
    both = np.stack([left, right], axis=1).tobytes()
    mean = ((left.astype(int) + right) * 2**15).astype("<i4").tobytes()
    expected = read_sound(write_wav(mean, width=4, name="mono.wav"), SOUND)
    assert torch.allclose(read_sound(write_wav(both, channels=2), SOUND), expected, atol=1e-3)


def test_short_sounds_are_read_without_a_warning(write_wav):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_sound(write_wav(spoken(100).tobytes()), SOUND).isfinite().all()
        assert read_sound(write_wav(bytes(2)), SOUND).isfinite().all()


def test_a_sound_of_another_rate_is_refused_with_both_rates(write_wav):
    path = write_wav(spoken().tobytes(), rate=44100)
    refused(read_sound, path, "rate of 44100 Hz, expected 8000", SOUND)
    assert read_sound(path, SOUND.model_copy(update={"rate": 44100})).any()


def test_a_sound_that_is_cut_or_empty_is_refused_by_name(write_wav, write, tmp_path):
    content = write_wav(spoken().tobytes()).read_bytes()
    for cut in (2, 3, 5000):
        refused(read_sound, write("a.wav", content[:-cut]), "is cut: .* of the 3000", SOUND)
    lost = content[:16] + b"\xff" + content[17:]  # where the samples begin
    for bad in (b"", content[:20], content[:40], b"RIFF", b"no sound, no sound, no sound", lost):
        refused(read_sound, write("a.wav", bad), "no readable wav file", SOUND)
    refused(read_sound, write_wav(b""), "has no samples", SOUND)
    refused(read_sound, tmp_path / "none.wav", "no such file", SOUND)


def test_a_sound_that_is_no_pcm_is_refused_by_name(write_wav, write):
    content = bytearray(write_wav(spoken().tobytes()).read_bytes())
    content[20] = 3  # floating-point samples
    refused(read_sound, write("a.wav", bytes(content)), "no readable wav file.*format: 3", SOUND)


def test_more_coefficients_than_the_spectrum_has_bands_are_refused(write_wav):
    path = write_wav(spoken().tobytes())
    with pytest.raises(ValueError, match=r"coefficients: 129.*128 bands"):
        read_sound(path, SOUND.model_copy(update={"coefficients": 129}))


def test_real_digits_are_librosas_coefficients(shared_data):
    settings = Spectrogram(kind="spectrogram")
    for name in ("3_theo_27", "9_jackson_0"):
        path = shared_data / "avmnist" / "fsdd" / f"{name}.wav"
        sound, rate = soundfile.read(path, dtype="float32")
        expected = torch.from_numpy(librosa.feature.mfcc(y=sound, sr=rate, n_mfcc=20))
        read = read_sound(path, settings)
        assert read.shape == (1, 20, 20)
        assert 3 < expected.shape[1] < 20
        assert torch.allclose(read[0, :, : expected.shape[1]], expected, atol=1e-3)
        assert not read[0, :, expected.shape[1] :].any()


# Volumes


def brain(shape=(8, 12, 16)):
    """Values that grow with z, y and x, 1000, 10 and 1 a voxel; 0 on all borders."""
    z, y, x = np.indices(shape)
    values = (100 + 1000 * z + 10 * y + x).astype(np.float32)
    inside = np.zeros(shape, dtype=bool)
    inside[1:-1, 1:-1, 1:-1] = True
    return values * inside


def as_image(array, spacing=(1.0, 1.5, 2.0)):
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    image.SetOrigin((-30.0, 20.0, 7.0))
    return image


def test_a_volume_of_the_size_is_scored_where_it_is_not_0(write_image):
    array = brain(VOLUME.size)
    read = read_volume(write_image("one.nii.gz", as_image(array)), VOLUME)
    assert (read.shape, read.dtype) == ((1, 4, 6, 8), torch.float32)
    inside = torch.from_numpy(array != 0)
    assert not read[0][~inside].any()
    expected = array[array != 0].astype(np.float64)
    expected = (expected - expected.mean()) / expected.std()
    assert torch.allclose(read[0][inside], torch.from_numpy(expected).float(), atol=1e-4)


def test_a_volume_that_shrinks_much_keeps_no_detail_as_noise(write_image):
    """A fine chessboard on a coarse ramp: the ramp is what a coarse grid can show."""
    side = np.arange(32)
    board = (side[:, None, None] + side[:, None] + side) % 2
    ramp = np.broadcast_to(side, (32, 32, 32)).astype(np.float32) + 5
    size = Volume(kind="volume", files="{name}.nii.gz", size=(8, 8, 8))
    plain = read_volume(write_image("plain.nii.gz", as_image(ramp)), size)
    noisy = read_volume(write_image("noisy.nii.gz", as_image(ramp + 20 * board)), size)
    inside = (slice(None), slice(1, -1), slice(1, -1), slice(1, -1))
    assert (noisy - plain)[inside].abs().max() < 0.1
    assert (plain[0, 4, 4].diff() > 0.2).all()


def test_a_volume_of_another_size_covers_the_same_extent(write_image):
    array = np.random.default_rng(1).uniform(1, 2, (8, 12, 16)).astype(np.float32)
    read = read_volume(write_image("one.nii.gz", as_image(array)), VOLUME)[0]
    # Half as many voxels along each axis: every one lies between eight.
    means = array.astype(np.float64).reshape(4, 2, 6, 2, 8, 2).mean(axis=(1, 3, 5))
    expected = torch.from_numpy((means - means.mean()) / means.std()).float()
    assert torch.allclose(read, expected, atol=1e-4)


def test_an_oblique_volume_stays_on_its_own_axes(write_image):
    expected = read_volume(write_image("straight.mha", as_image(brain())), VOLUME)
    oblique = as_image(brain())
    oblique.SetDirection((0.8, -0.6, 0, 0.6, 0.8, 0, 0, 0, 1))
    read = read_volume(write_image("oblique.mha", oblique), VOLUME)
    assert torch.allclose(read, expected, atol=1e-4)


def test_a_volume_that_grows_has_no_empty_border(write_image):
    array = np.ones((2, 2, 2), dtype=np.float32)
    array[0] = 2
    read = read_volume(write_image("one.nii.gz", as_image(array)), VOLUME)[0]
    assert (read != 0).all()
    assert torch.allclose(read[0], torch.full((6, 8), read[0, 0, 0].item()))
    assert (read[0] > 0).all()
    assert (read[3] < 0).all()


def test_volumes_in_any_orientation_are_read_alike(write_image):
    image = as_image(brain())
    expected = read_volume(write_image("lps.nii.gz", image), VOLUME)
    for orientation in ("RAS", "SPL", "AIR"):
        turned = sitk.DICOMOrient(image, orientation)
        read = read_volume(write_image(f"{orientation}.nii.gz", turned), VOLUME)
        assert torch.allclose(read, expected, atol=1e-4)
    assert expected[0, 2, 3, 4] > expected[0, 1, 3, 4] > expected[0, 1, 2, 4]  # towards S, P


def test_whole_numbers_are_read(write_image):
    image = sitk.Cast(as_image(brain()), sitk.sitkInt16)
    expected = read_volume(write_image("float.nii.gz", as_image(brain())), VOLUME)
    assert torch.allclose(read_volume(write_image("short.mha", image), VOLUME), expected)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["bad.nii.gz", "bad.mha"])
def test_a_volume_with_a_value_that_is_no_number_is_refused(write_image, value, name):
    array = brain()
    array[3, 3, 3] = value
    refused(read_volume, write_image(name, as_image(array)), "NaN or infinite", VOLUME)


@pytest.mark.parametrize("value", [0, 7])
def test_a_volume_without_content_is_refused(write_image, value):
    path = write_image("empty.nii.gz", as_image(np.full((8, 12, 16), value, dtype=np.float32)))
    refused(read_volume, path, f"holds nothing but {value}", VOLUME)


@pytest.mark.parametrize(
    ("image", "problem"),
    [
        (sitk.Image([8, 8], sitk.sitkFloat32), "is 2D"),
        (sitk.Image([8, 8, 8, 2], sitk.sitkFloat32), "is 4D"),
        (sitk.Image([8, 8, 8], sitk.sitkVectorFloat32, 3), "vector of 32-bit float voxels"),
        (sitk.Image([8, 8, 8], sitk.sitkComplexFloat32), "complex of 32-bit float voxels"),
    ],
)
def test_what_is_no_grey_volume_is_refused(write_image, image, problem):
    refused(read_volume, write_image("other.nii.gz", image), problem, VOLUME)


def test_a_volume_that_is_cut_or_none_is_refused_by_name(write_image, write, tmp_path):
    content = write_image("whole.nii.gz", as_image(brain())).read_bytes()
    for bad in (content[: len(content) // 2], b"", b"no image"):
        refused(read_volume, write("bad.nii.gz", bad), "not a readable image", VOLUME)
    refused(read_volume, tmp_path / "none.nii.gz", "no such file", VOLUME)
