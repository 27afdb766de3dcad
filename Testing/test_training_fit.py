"""Whole runs of `metakd-train fit`, small ones, as processes of their own where that matters."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from metakd.phantom import PhantomSettings, make_phantom, write_phantom
from metakd_training import runs
from metakd_training.checkpoint import load_state
from metakd_training.config import as_yaml, read_config
from metakd_training.fit import Run, fit
from metakd_training.launch import Launch, make_fabric
from metakd_training.tasks import make_workload
from metakd_training.validate import subset_scores
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

CPU = Launch("cpu", 1)
SETTINGS = """
data:
  cohorts: [{{path: {cohort}}}]
  split: {cohort}/split.json
  spacing: 4.0
  cache: {cache}
crops: {{size: [16, 24, 16]}}
network: {{channels: [4, 8], decoder_channels: [4, 8]}}
method: {{name: metakd, every: 2, teachers: all}}
optimiser: {{learning_rate: 1e-2, clip: 1.0, ema: 0.5, batch: 2}}
steps: 4
precision: fp32
log_every: 1
validate_every: 0
save_every: 1
"""


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohort")
    for seed in (1, 3, 5, 6):
        write_phantom(make_phantom(seed, PhantomSettings(spacing=4.0)), folder / f"p{seed}")
    return folder


@pytest.fixture
def config(cohort, tmp_path):
    """`config(*changes)`: path of a YAML file."""
    split = {"train": ["p1", "p3"], "held_out": ["p5"], "val": ["p6"]}
    (cohort / "split.json").write_text(json.dumps(split))

    def write(*changes):
        path = tmp_path / "config.yaml"
        path.write_text(SETTINGS.format(cohort=cohort, cache=cohort.parent / "cache"))
        path.write_text(as_yaml(read_config(path, list(changes))))
        return path

    return write


def start(config, output, *options, launcher=()):
    command = [*(launcher or (sys.executable,)), "-m", "metakd_training.cli", "fit", str(config)]
    return subprocess.Popen(
        [*command, "--output", str(output), "--accelerator", "cpu", *options],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process):
    errors = process.communicate(timeout=240)[1]
    assert process.returncode == 0, errors
    return errors


def weights(run):
    return load_state(run / runs.LAST)["method"]


def assert_same(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, theirs[name]), name


def logged(run, tag):
    events = EventAccumulator(str(run / "events"))
    events.Reload()
    return [event.value for event in events.Scalars(tag)]


def test_a_killed_run_goes_on_and_ends_in_the_same_weights_to_the_bit(config, tmp_path):
    path = config("steps=12", "subsets.sampler=hard", "validate_every=3")
    # A process of its own too: with another number of threads sums are added up otherwise.
    finished(start(path, tmp_path / "whole"))
    killed = tmp_path / "killed"
    process = start(path, killed)
    while not (killed / runs.LAST).exists():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    stopped_at = load_state(killed / runs.LAST)["step"]
    assert 0 < stopped_at < 12
    finished(start(path, killed, "--resume"))
    whole, resumed = (load_state(run / runs.LAST) for run in (tmp_path / "whole", killed))
    for part in ("method", "average"):
        assert_same(whole[part], resumed[part])
    assert (whole["step"], whole["best"]) == (resumed["step"], resumed["best"])
    assert torch.equal(whole["subsets"], resumed["subsets"])


@pytest.mark.parametrize("launcher", ["fabric", "torchrun"])
def test_two_processes_learn_as_one_with_the_double_batch(config, tmp_path, launcher):
    """Of subsets alone, as the papers do: an encoder is idle in a process now and then."""
    # Plain descent: Adam would blow a rounding error in a tiny gradient up to a whole step.
    sgd = ("optimiser.name=sgd", "optimiser.momentum=0.9", "optimiser.fix_statistics_at=3",
           "subsets.full_pass=false", "method.teachers=available", "steps=5")  # fmt: skip
    one = tmp_path / "one"
    fit(read_config(config("optimiser.batch=2", *sgd)), one, CPU, resume=False)
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2")
    free_port = ("--master-port", "0", "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0")
    two = tmp_path / "two"
    launch = {"launcher": (*torchrun, *free_port)} if launcher == "torchrun" else {}
    options = [] if launcher == "torchrun" else ["--devices", "2"]
    finished(start(config("optimiser.batch=1", *sgd), two, *options, **launch))
    for tag in ("loss/loss", "loss/distillation", "loss/held out"):
        assert logged(two, tag) == pytest.approx(logged(one, tag), rel=1e-4)
    ours, theirs = weights(two), weights(one)
    for name, value in theirs.items():
        if isinstance(value, torch.Tensor):
            torch.testing.assert_close(ours[name], value, rtol=1e-4, atol=1e-6, msg=name)


def test_accumulated_batches_count_as_one_large_one(config, tmp_path):
    losses = []
    for batch, accumulate in ((2, 1), (1, 2)):
        run = tmp_path / f"batch{batch}"
        path = config(f"optimiser.batch={batch}", f"optimiser.accumulate={accumulate}",
                      "method={name: dropout}")  # fmt: skip
        fit(read_config(path), run, CPU, resume=False)
        losses.append(logged(run, "loss/loss"))
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_the_inner_level_sees_neither_held_out_nor_validation_patients(config, cohort, tmp_path):
    """With α = 0 importance changes nothing, so nothing may depend on who is held out."""
    states = []
    for held_out, val in (("p5", "p6"), ("p6", "p5")):
        path = config("method.alpha=0", "validate_every=2")
        split = {"train": ["p1", "p3"], "held_out": [held_out], "val": [val]}
        (cohort / "split.json").write_text(json.dumps(split))
        fit(read_config(path), tmp_path / held_out, CPU, resume=False)
        states.append(weights(tmp_path / held_out))
    networks = [
        {k: v for k, v in state.items() if k.startswith("network.") and "importance" not in k}
        for state in states
    ]
    assert_same(*networks)
    assert not torch.equal(states[0]["logits"], states[1]["logits"])  # the outer level does


def write_patient(folder, seed, centre):
    """A head of 4 mm voxels with a tumour of three shells, each with its own grey in a contrast."""
    folder.mkdir()
    rng = np.random.default_rng(seed)
    place = np.stack(np.meshgrid(*[np.arange(40)] * 3, indexing="ij"), axis=-1)
    inside = np.linalg.norm(place - 20, axis=-1) < 18
    distance = np.linalg.norm(place - centre, axis=-1)
    labels = np.select([distance < 6, distance < 8, distance < 11], [3, 1, 2], 0) * inside
    greys = {"t1": (50, 40, 45, 60), "t1c": (50, 40, 45, 99), "t2": (50, 80, 90, 70),
             "flair": (50, 70, 95, 75)}  # fmt: skip
    for name, values in greys.items():
        grey = np.array(values)[labels] + rng.normal(0, 3, labels.shape)
        write(folder / f"{name}.nii.gz", (grey * inside).astype(np.float32))
    write(folder / "seg.nii.gz", labels.astype(np.uint8))


def write(path, values):
    image = sitk.GetImageFromArray(values)
    image.SetSpacing((4.0, 4.0, 4.0))
    sitk.WriteImage(image, str(path))


def test_two_patients_are_learned_by_heart(tmp_path):
    cohort = tmp_path / "cohort"
    cohort.mkdir()
    for seed, centre in ((1, (14, 18, 20)), (2, (24, 22, 16)), (3, (20, 20, 20))):
        write_patient(cohort / f"p{seed}", seed, centre)
    split = {"train": ["p1", "p2"], "held_out": ["p3"]}
    (cohort / "split.json").write_text(json.dumps(split))
    path = tmp_path / "config.yaml"
    path.write_text(SETTINGS.format(cohort=cohort, cache=tmp_path / "cache"))
    changes = [
        "crops={size: [40, 40, 40], tumour_share: 0, augment: false}",
        "network={channels: [16, 16], decoder_channels: [32, 16]}",
        "method={name: dropout}",
        "subsets={sampler: full, full_pass: false}",
        "optimiser={learning_rate: 2e-2, batch: 2, clip: 1.0, fix_statistics_at: 80, ema: 0.5}",
        "steps=160",
        "save_every=160",
    ]
    changed = read_config(path, changes)
    run = Run(changed, tmp_path, make_fabric(CPU, "fp32"), make_workload(changed))
    run.load_data()
    run.fit()
    learned = run.workload.whole("train", torch.device("cpu"))
    everything = torch.ones(1, 4, dtype=torch.bool)
    scores = subset_scores(run.average.module, run.workload.task, learned, everything, 3)
    assert scores.shape == (2, 1, 3)
    assert scores.min() > 0.95, scores


def test_a_run_leaves_its_record_checkpoints_and_events(config, tmp_path):
    path = config("validate_every=2", "steps=5")
    run = tmp_path / "run"
    fit(read_config(path), run, CPU, resume=False)
    record = json.loads((run / runs.RECORD).read_text())
    assert record["seed"] == 1
    assert record["split"]["held_out"] == ["p5"]
    assert record["packages"]["torch"] == torch.__version__
    assert read_config(run / runs.CONFIG) == read_config(path)
    last, best = (load_state(run / name) for name in (runs.LAST, runs.BEST))
    assert last["step"] == 5
    assert best["step"] in (2, 4, 5)
    exported = runs.segmentation_network(run)
    for name, value in exported.state_dict().items():
        assert torch.equal(value, last["average"][name])
    events = EventAccumulator(str(run / "events"))
    events.Reload()
    tags = events.Tags()
    assert {"loss/task", "Dice WT/mean", "Dice ET/T1c + FLAIR", "importance/FLAIR"} <= set(
        tags["scalars"]
    )
    assert set(tags["images"]) == {"slice/all contrasts", "slice/one contrast"}
    assert len(events.Scalars("importance/FLAIR")) == 2


def test_a_run_is_not_overwritten_nor_resumed_with_other_settings(config, tmp_path):
    run = tmp_path / "run"
    fit(read_config(config("steps=1")), run, CPU, resume=False)
    before = (run / runs.LAST).read_bytes()
    with pytest.raises(ValueError, match="holds a run; add --resume"):
        fit(read_config(config("steps=1")), run, CPU, resume=False)
    with pytest.raises(ValueError, match=r"method\.alpha was 0\.1, is 0\.3"):
        fit(read_config(config("steps=1", "method.alpha=0.3")), run, CPU, resume=True)
    assert (run / runs.LAST).read_bytes() == before


def test_bad_data_ends_in_one_line_before_anything_is_written(config, cohort, tmp_path):
    path, run = config(), tmp_path / "run"
    (cohort / "split.json").write_text(json.dumps({"train": ["p1", "p9"], "held_out": ["p5"]}))
    process = start(path, run)
    errors = process.communicate(timeout=120)[1]
    assert process.returncode == 2
    assert "p9" in errors.splitlines()[-1]
    assert "Traceback" not in errors
    assert not run.exists()
