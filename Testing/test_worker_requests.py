"""The options of a request to segment: what is understood, what is taken when left out or wrong."""

import json
import subprocess
import sys

import pytest
from metakd.worker_requests import BadRequest, parse


@pytest.fixture
def places(tmp_path):
    return {name: str(tmp_path / name) for name in ("t1.nrrd", "seg.nrrd", "mask.nrrd", "kept")}


@pytest.fixture
def ask(places):
    """`ask(option=…)`: the request that a line with these options is."""

    def ask(**options):
        inputs, output = {"t1": places["t1.nrrd"]}, places["seg.nrrd"]
        fields = {"op": "segment", "id": "1", "inputs": inputs, "output": output}
        return parse(json.dumps({**fields, "options": options}).encode())

    return ask


STEPS = ("registration", "brain", "brain_mask", "bias_correction", "prepared")


def test_without_options_a_study_is_registered_and_its_brain_found(ask):
    expected = ("rigid", "auto", None, False, None)
    for options in ({}, dict.fromkeys(STEPS)):
        request = ask(**options)
        assert tuple(getattr(request, name) for name in STEPS) == expected


def test_every_step_can_be_chosen(ask, places):
    request = ask(
        registration="affine", brain="hd-bet", bias_correction=True,
        brain_mask=places["mask.nrrd"], prepared=places["kept"],
    )  # fmt: skip
    assert (request.registration, request.brain, request.bias_correction) == (
        "affine", "hd-bet", True
    )  # fmt: skip
    assert (str(request.brain_mask), str(request.prepared)) == (places["mask.nrrd"], places["kept"])
    request = ask(registration="off", brain="off")
    assert (request.registration, request.brain) == ("off", "off")


WRONG = {
    "registration": [("elastic", "rigid, affine, off"), (True, "rigid"), (["rigid"], "rigid")],
    "brain": [("bet", "auto, builtin, synthstrip, hd-bet, off"), (False, "off"), ("", "auto")],
    "brain_mask": [("mask.nrrd", "not an absolute path"), ("", "not a text"), (1, "not a text")],
    "bias_correction": [(1, "neither true nor false"), ("yes", "neither"), (0, "neither")],
    "prepared": [("kept", "not an absolute path"), ("/\0", "not an absolute path")],
    "register": [("rigid", "unknown options")],
}


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [(name, value, says) for name, values in WRONG.items() for value, says in values],
)
def test_a_wrong_option_is_refused_by_name(ask, name, value, says):
    with pytest.raises(BadRequest, match=says) as error:
        ask(**{name: value})
    assert name in str(error.value)
    assert error.value.id == "1"


def test_requests_are_understood_without_torch_or_simpleitk():
    code = (
        "import sys, metakd.worker_requests as r; "
        "sys.exit(any(name in sys.modules for name in ('torch', 'SimpleITK')))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
