"""Contents of model packages: sound ones are read, spoilt ones refused with nothing changed."""

import hashlib
import json
import pickle
import struct
from pathlib import Path

import pytest
import safetensors.torch
import torch
from metakd.model import load_model
from metakd.packages import CARD, WEIGHTS
from metakd.weights import read_weights


def edit_card(package, *keys, value=None):
    """Set an entry of the card, or delete it."""
    card = json.loads((package / CARD).read_text())
    section = card
    for key in keys[:-1]:
        section = section[key]
    if value is None:
        del section[keys[-1]]
    else:
        section[keys[-1]] = value
    (package / CARD).write_text(json.dumps(card))


def set_weights(package, data):
    """Replace the weights by an attacker who also corrects the checksum."""
    (package / WEIGHTS).write_bytes(data)
    edit_card(package, "metakd", "sha256", value=hashlib.sha256(data).hexdigest())


def test_a_packages_weights_are_the_networks(tiny_package):
    model = load_model(str(tiny_package))
    expected = safetensors.torch.load_file(tiny_package / WEIGHTS)
    state = model.network.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name].float()) for name in expected)
    assert (model.name, model.spacing, model.network.training) == ("tiny", 2.0, False)


@pytest.mark.parametrize("kind", [torch.float16, torch.float32, torch.bfloat16])
def test_the_reader_agrees_with_the_safetensors_library(tmp_path, kind):
    torch.manual_seed(0)
    tensors = {"a.weight": torch.randn(3, 4, 2, 2, 2), "b": torch.randn(7), "c": torch.tensor(0.1)}
    tensors = {name: (tensor * 1000).to(kind) for name, tensor in tensors.items()}
    safetensors.torch.save_file(tensors, tmp_path / "x", metadata={"format": "pt"})
    read = read_weights((tmp_path / "x").read_bytes())
    assert read.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert read[name].dtype == torch.float32
        assert torch.equal(read[name], tensor.float()), name


def stored(header, body=bytes(64), length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


def entry(shape, start, stop, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


MALFORMED = {
    "empty": b"",
    "shorter than its first number": b"abc",
    "header length beyond the file": stored({}, length=2**63),
    "header that is a list": stored([1]),
    "header that is a text": stored("x"),
    "header that is not JSON": stored(b"\xff\xfe{"),
    "header nested too deep": stored(b"[" * 200_000),
    "entry that is a number": stored({"a": 1}),
    "entry without a shape": stored({"a": {"dtype": "F32", "data_offsets": [0, 4]}}),
    "unknown type": stored({"a": entry([8], 0, 64, "F64")}),
    "offsets beyond the file": stored({"a": entry([2**40], 0, 2**42)}),
    "offsets before the file": stored({"a": entry([1], -4, 0)}),
    "offsets that do not fit the shape": stored({"a": entry([15], 0, 64)}),
    "offsets that overlap": stored({"a": entry([12], 0, 48), "b": entry([12], 16, 64)}),
    "numbers that belong to no tensor": stored({"a": entry([8], 32, 64)}),
    "negative side": stored({"a": entry([-16], 0, 64)}),
    "two negative sides": stored({"a": entry([-4, -4], 0, 64)}),
    "sides whose product overflows": stored({"a": entry([2**32, 2**32], 0, 0)}),
    "fractional side": stored({"a": entry([16.0], 0, 64)}),
    "one name twice": stored(
        b'{"a":{"dtype":"F32","shape":[8],"data_offsets":[0,32]},'
        b'"a":{"dtype":"F32","shape":[8],"data_offsets":[32,64]}}'
    ),
    "pickle in disguise": pickle.dumps({"a": [1.0] * 16}),
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
def test_malformed_weights_are_refused(package, refused, data):
    with pytest.raises(ValueError):
        read_weights(data)
    set_weights(package, data)
    refused(package, "weights and card do not fit")


def test_cut_weights_are_refused_even_with_a_matching_checksum(package, refused):
    set_weights(package, (package / WEIGHTS).read_bytes()[:-100])
    refused(package, "weights and card do not fit")


@pytest.mark.parametrize("place", [0, 0.5, -1], ids=["length", "middle", "last byte"])
def test_a_flipped_bit_in_the_weights_is_refused(package, refused, place):
    data = bytearray((package / WEIGHTS).read_bytes())
    data[int(place * len(data)) if place != -1 else -1] ^= 1
    (package / WEIGHTS).write_bytes(data)
    refused(package, "checksum")


class Trap:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("writer", ["pickle", "torch"])
def test_a_pickle_in_disguise_is_never_executed(package, refused, tmp_path, writer):
    mark, disguised = tmp_path / "executed", tmp_path / "disguised"
    if writer == "pickle":
        disguised.write_bytes(pickle.dumps(Trap(mark)))
    else:
        torch.save({"weights": Trap(mark)}, disguised)
    refused(disguised, "zip file|not a MetaKD model package")
    set_weights(package, disguised.read_bytes())
    refused(package, "weights and card do not fit")
    assert not mark.exists()


@pytest.mark.parametrize(
    "keys",
    [
        ("version",),
        ("network_data_format",),
        ("intended_use",),
        ("metakd",),
        ("metakd", "sha256"),
        ("metakd", "arguments"),
        ("metakd", "spacing_mm"),
        ("metakd", "expected_dice"),
        ("metakd", "expected_dice", "subsets"),
        ("metakd", "expected_dice", "measured_on"),
        ("metakd", "reliability", "reliable"),
        ("metakd", "reliability", "use with care"),
        ("metakd", "postprocessing", "smallest_ml"),
    ],
    ids=".".join,
)
def test_a_missing_key_is_named(package, refused, keys):
    edit_card(package, *keys)
    refused(package, keys[-1])


@pytest.mark.parametrize(
    ("keys", "value", "match"),
    [
        (("metakd", "architecture_version"), 2, "MetaKDNet version 2; update metakd"),
        (("metakd", "architecture"), "UNet", "UNet"),
        (("metakd", "contrasts"), ["t1", "t2", "flair", "t1c"], "contrasts"),
        (("metakd", "arguments"), [1], "wrong kind of value for arguments"),
        (("metakd", "arguments", "regions"), 2, "2 regions"),
        (("metakd", "arguments", "contrasts"), 3, "3 contrasts"),
        (("metakd", "postprocessing", "smallest_ml"), [1], "smallest_ml"),
        (("metakd", "postprocessing", "smallest_ml", "WT"), "much", "no number"),
        (("metakd", "reliability", "reliable"), "0.8", "reliable"),
        (("metakd", "expected_dice", "subsets"), {"t1": {"WT": "good"}}, "no number"),
        (("metakd", "arguments", "channels"), [4, 16], "do not fit"),
        (("metakd", "arguments", "channels"), [], "do not fit"),
        (("metakd", "arguments", "channels"), [-4, 8], "do not fit"),
        (("metakd", "arguments", "surprise"), 1, "do not fit"),
        (("metakd", "spacing_mm"), 0, "spacing_mm"),
        (("metakd", "spacing_mm"), "wide", "spacing_mm"),
        (("metakd",), [], "not a MetaKD model package"),
    ],
)
def test_a_card_with_a_wrong_value_is_refused(package, refused, keys, value, match):
    edit_card(package, *keys, value=value)
    refused(package, match)


@pytest.mark.parametrize("text", ["", "[1]", "{", "\x00", "[" * 200_000])
def test_a_card_that_is_no_card_is_refused(package, refused, text):
    (package / CARD).write_text(text)
    refused(package, "not valid JSON|not a MetaKD model package")
