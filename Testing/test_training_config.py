"""Settings of a run: read, inherited, changed, checked and written."""

from pathlib import Path

import pytest
from metakd_training.config import as_yaml, differences, read_config

SHIPPED = Path(__file__).resolve().parents[1] / "training" / "configs"
RUNNABLE = sorted(
    path
    for path in SHIPPED.rglob("*.yaml")
    if path.name != "common.yaml" and not path.name.endswith("_card.yaml")
)

SETTINGS = """
data: {cohorts: [{path: patients, labels: msd}], split: split.json, held_out: [P1, P2]}
crops: {size: [32, 48, 64]}
method: {name: metakd, alpha: 0.3, every: 7}
optimiser: {name: sgd, momentum: 0.9, clip: 2.0}
steps: 100
"""


@pytest.fixture
def write(tmp_path):
    """`write(text, name)`: the path of a configuration in a folder of this test's own."""

    def write(text=SETTINGS, name="run.yaml"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def read(write):
    """`read(*changes)`: the settings above, changed."""
    return lambda *changes: read_config(write(), list(changes))


def test_what_the_file_says_is_what_is_read_and_the_rest_has_defaults(read):
    config = read()
    assert config.data.cohorts[0].path == "patients"
    assert config.data.cohorts[0].labels == "msd"
    assert config.data.held_out == ("P1", "P2")
    assert config.crops.size == (32, 48, 64)
    assert (config.method.name, config.method.alpha, config.method.every) == ("metakd", 0.3, 7)
    assert (config.optimiser.name, config.optimiser.clip, config.steps) == ("sgd", 2.0, 100)
    assert (config.method.weights, config.data.spacing) == ("softmax", 1.0)


@pytest.mark.parametrize("path", RUNNABLE, ids=lambda path: path.stem)
def test_every_shipped_configuration_is_read_and_comes_back_as_written(path, write):
    config = read_config(path)
    written = write()
    written.write_text(as_yaml(config))
    assert read_config(written) == config


def test_configurations_are_shipped():
    assert len(RUNNABLE) > 10


@pytest.mark.parametrize(
    "change", ["method.alpha=8e-3", "method.alpha=8.0e-3", "method.alpha=0.008"]
)
def test_a_change_is_a_number_however_it_is_written(read, change):
    assert read(change).method.alpha == 0.008


def test_changes_reach_any_depth_and_leave_the_rest(read):
    config = read("steps=9", "crops.size=[16, 16, 32]", "data.held_out=[P5]", "optimiser.clip=null")
    assert (config.steps, config.crops.size, config.data.held_out) == (9, (16, 16, 32), ("P5",))
    assert (config.optimiser.clip, config.optimiser.momentum) == (None, 0.9)
    assert config.data.split == "split.json"


def test_a_change_makes_a_section_that_the_file_does_not_have(read):
    config = read("network.channels=[4, 8, 8, 8]", "subsets.sampler=hard")
    assert config.network.channels == (4, 8, 8, 8)
    assert read("subsets.sampler=hard").subsets.sampler == "hard"


def test_the_last_of_two_changes_holds(read):
    assert read("steps=9", "steps=8").steps == 8


def test_settings_are_inherited_where_nothing_else_is_said(write):
    write(name="root.yaml")
    write("base: root.yaml\nmethod: {alpha: 0.7}\nseed: 5\n", "middle.yaml")
    config = read_config(write("base: middle.yaml\nseed: 6\noptimiser: {clip: null}\n"))
    assert (config.method.alpha, config.method.every, config.method.name) == (0.7, 7, "metakd")
    assert (config.seed, config.steps) == (6, 100)
    assert (config.optimiser.clip, config.optimiser.momentum) == (None, 0.9)


def test_a_base_is_looked_for_beside_the_file_that_names_it(write, tmp_path, monkeypatch):
    write(name="root.yaml")
    (tmp_path / "inner").mkdir()
    path = write("base: ../root.yaml\nsteps: 3\n", "inner/run.yaml")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert read_config(path).steps == 3


def test_a_list_is_replaced_as_a_whole(write):
    write(name="root.yaml")
    config = read_config(write("base: root.yaml\ndata: {held_out: [P9]}\n"))
    assert config.data.held_out == ("P9",)


def test_another_method_inherits_no_settings_another_optimiser_does(write):
    write(name="root.yaml")
    text = "base: root.yaml\nmethod: {name: lckd}\noptimiser: {name: adamw}\n"
    config = read_config(write(text))
    assert (config.method.name, config.method.alpha, config.method.every) == ("lckd", 0.1, 500)
    assert (config.optimiser.name, config.optimiser.clip) == ("adamw", 2.0)


def test_the_same_method_named_again_inherits(write):
    write(name="root.yaml")
    config = read_config(write("base: root.yaml\nmethod: {name: metakd, beta: 1.0}\n"))
    assert (config.method.alpha, config.method.beta) == (0.3, 1.0)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("stpes=9", "stpes: no such setting"),
        ("optimizer.clip=1", "optimizer: no such setting"),
        ("crops.sizes=[8, 8, 8]", "crops.sizes: no such setting"),
        ("method.alhpa=1", "alhpa: no such setting"),
        ("subsets.sampler=all", "subsets.sampler: .*'uniform', 'by_count', 'hard' or 'full'"),
        ("method.distance=l3", "distance: .*'l1', 'l2' or 'cosine'"),
        ("method.name=kd", "method: .*'metakd', 'lckd', 'dropout'"),
        ("precision=fp16", "precision: .*'fp32' or 'bf16'"),
        ("method.alpha=-0.1", "alpha: .*greater than or equal to 0"),
        ("optimiser.learning_rate=-1e-3", "optimiser.learning_rate: .*greater than 0"),
        ("steps=0", "steps: .*greater than or equal to 1"),
        ("data.phantoms=-1", "data.phantoms: .*greater than or equal to 0"),
        ("data.phantom_share=1.1", "data.phantom_share: .*less than or equal to 1"),
        ("data.spacing=fine", "data.spacing: .*valid number"),
        ("steps=1.5", "steps: .*integer"),
        ("crops.size=[32, 32, 40]", r"\(32, 32, 40\) are not multiples of 16"),
        ("crops.size=[0, 32, 32]", "crops.size.0"),
        ("network.channels=[4, 8]", "2 channels, but 4 decoder_channels"),
        ("crops.size=[8, 8]", "crops.size"),
        ("data.split=null", "data.split: "),
    ],
)
def test_a_wrong_setting_is_refused_with_its_name_and_its_file(read, change, named):
    with pytest.raises(ValueError, match=rf"run\.yaml: .*{named}"):
        read(change)


def test_all_wrong_settings_are_named_at_once(read):
    with pytest.raises(ValueError, match=r"^\S*run\.yaml: [^\n]*crops\.sise[^\n]*; seeed[^\n]*$"):
        read("crops.sise=[8, 8, 8]", "seeed=1")


def test_a_wrong_setting_in_a_file_is_refused_as_one_on_the_command_line(write):
    with pytest.raises(ValueError, match=r"run\.yaml: stpes: no such setting"):
        read_config(write(SETTINGS + "stpes: 9\n"))


def test_settings_that_are_missing_are_named(write):
    with pytest.raises(ValueError, match=r"run\.yaml: method: .*; data: .*; crops: "):
        read_config(write("steps: 3"))


@pytest.mark.parametrize("change", ["steps", "steps.inner=3"])
def test_a_change_that_is_none_is_refused_as_it_stands(read, change):
    with pytest.raises(ValueError, match=f"'{change}'"):
        read(change)


@pytest.mark.parametrize("text", ["data: [", "a: b: c", "\t- x", "steps: 'three"])
def test_a_file_that_is_no_yaml_is_refused_by_name_in_one_line(write, text):
    with pytest.raises(ValueError, match=r"^\S*run\.yaml: not valid YAML [^\n]*$"):
        read_config(write(text))


@pytest.mark.parametrize("text", ["", "# nothing\n", "- steps\n", "steps"])
def test_a_file_without_settings_is_refused_by_name(write, text):
    with pytest.raises(ValueError, match=r"run\.yaml: holds no settings"):
        read_config(write(text))


def test_a_broken_base_is_the_file_that_is_named(write):
    write("", "root.yaml")
    with pytest.raises(ValueError, match=r"root\.yaml: holds no settings"):
        read_config(write("base: root.yaml\nsteps: 3\n"))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(OSError, match=r"none\.yaml"):
        read_config(tmp_path / "none.yaml")


def test_settings_cannot_change_once_read(read):
    with pytest.raises(ValueError, match="frozen"):
        read().steps = 3


def test_differences_are_named_with_both_values(read):
    assert differences(read(), read()) == {}
    changed = read("crops.size=[16, 16, 16]", "method.alpha=0.5", "seed=2")
    assert differences(read(), changed) == {
        "crops.size": ((32, 48, 64), (16, 16, 16)),
        "method.alpha": (0.3, 0.5),
        "seed": (1, 2),
    }


def test_differences_between_methods_include_the_settings_that_only_one_has(read, write):
    other = read_config(write(SETTINGS.replace("name: metakd, alpha: 0.3", "name: lckd")))
    found = differences(read(), other)
    assert found["method.name"] == ("metakd", "lckd")
    assert found["method.alpha"] == (0.3, 0.1)
    assert found["method.weights"] == ("softmax", None)
    assert "method.every" not in found


def test_naming_another_method_drops_the_settings_of_the_one_before(read):
    config = read("method.name=lckd", "method.every=9")
    assert config.method == read("method={name: lckd, every: 9}").method


def test_a_change_that_is_no_value_is_refused(read):
    with pytest.raises(ValueError, match=r"'steps=\[': not a value"):
        read("steps=[")


@pytest.mark.parametrize(
    ("text", "message"),
    [("base: run.yaml", "is its own base"), ("base: 3", "base is 3, not the name of a file")],
)
def test_a_base_that_is_none_is_refused(write, text, message):
    with pytest.raises(ValueError, match=rf"run\.yaml: {message}"):
        read_config(write(text))


@pytest.mark.parametrize("order", [1, -1])
def test_the_order_of_changes_does_not_matter(read, order):
    changes = ["method.every=9", "method.name=lckd", "optimiser.batch=2", "optimiser.name=adamw"]
    config = read(*changes[::order])
    assert (config.method.name, config.method.every) == ("lckd", 9)
    assert (config.optimiser.name, config.optimiser.batch) == ("adamw", 2)


def test_hard_subsets_need_scores(read):
    with pytest.raises(ValueError, match="set validate_every"):
        read("subsets.sampler=hard", "validate_every=0")


CLASSIFIER = """
task: classification
data: {source: cohort, folder: mine, subjects: {file: a, name: b, label: c, classes: {1: x, 2: y}}}
modalities: {blood: {kind: table, tables: [{file: blood.csv}]}}
method: {name: metakd}
steps: 3
"""


def test_a_file_is_of_the_task_that_it_names_and_segments_when_it_names_none(write):
    assert read_config(write(CLASSIFIER)).task == "classification"
    assert read_config(write(SETTINGS)).task == "segmentation"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("task=classify", "'classify' is none of 'segmentation', 'classification'"),
        ("modalities.blood.kind=taste", "modalities.blood: 'taste' is none of 'image', "),
        ("modalities.blood={tables: []}", "modalities.blood: says not which of its kinds it is"),
        ("watch=test", r"watch: should be a list; write \[ \] around it"),
        ("data.subjects.classes={1: x}", "data.subjects: classes: x is one class only"),
    ],
)
def test_what_is_wrong_is_said_in_words_of_its_own(write, change, words):
    with pytest.raises(ValueError, match=rf"run\.yaml: {words}"):
        read_config(write(CLASSIFIER), [change])


def test_a_name_that_stands_twice_is_refused(write):
    twice = CLASSIFIER + "modalities: {gene: {kind: table, tables: [{file: gene.csv}]}}\n"
    with pytest.raises(ValueError, match=r"run\.yaml: not valid YAML \(modalities stands twice"):
        read_config(write(twice))
