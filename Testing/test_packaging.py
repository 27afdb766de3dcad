"""What Slicer installs is what is in the tree, and what the Extensions Index asks for holds."""

import ast
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
MODULE = ROOT / "MetaKDSegmentation"
NAME = "MetaKDSegmentation"

# The rings of MetaKDSegmentationLib from the inside; every file is in one of them.
RINGS = {
    "pure": "__init__ acquisition assignment findings job model_cards panel_state preparation "
    "protocol results scratch segment_roles series_names series_words slots worker_client",
    "MRML": "comparison example_study exports grids label_sampling order parameter_node "
    "prepared_volumes provenance rehearsal result_nodes segment_layers segmentation_logic "
    "segmentation_output terminology views volume_facts volume_files volumes_table",
    "Qt": "inputs_section log_section model_section panel results_section run_section self_test "
    "setup_section status_line torch_setup verify_section worker_process",
}
OF_SLICER = {"slicer", "vtk", "SimpleITK"}
OF_QT = {"qt", "ctk", "slicer.ScriptedLoadableModule", "slicer.app"}
OF_APPLICATION = OF_SLICER | OF_QT | {"numpy", NAME, f"{NAME}Lib"}
OF_ENGINE = {
    *("metakd", "metakd.contrasts", "metakd.regions", "metakd.packages", "metakd.foreground")
}
WITHOUT_WIDGET = {"model", "volumes_table", "disagreement_volume"}  # the module writes these itself

# The Index's catalogue entry, schema v1.0.1.
ENTRY = {
    "$schema": str, "category": str, "scm_url": str, "scm_revision": str, "scm_type": str,
    "build_dependencies": list, "build_subdirectory": str, "enabled": bool, "tier": int,
}  # fmt: skip
UNSAFE_MODULES = {
    *("pickle", "dill", "marshal", "shelve", "joblib"),
    *("requests", "httpx", "aiohttp", "urllib.request", "http.client", "ftplib"),
}
UNSAFE_CALLS = {"eval", "exec", "torch.load", "pip_install", "pip_ensure", "urlopen", "os.system"}


def installed():
    """Every file of the module's folder but the build's own, relative to it."""
    files = (path.relative_to(MODULE) for path in MODULE.rglob("*") if path.is_file())
    generated = ("__pycache__", "CMakeLists.txt")
    return sorted(path for path in files if not set(generated) & set(path.parts))


def cmake(file):
    return file.read_text(encoding="utf-8")


def cmake_list(variable):
    return re.search(rf"set\({variable}\s+([^)]*)\)", cmake(MODULE / "CMakeLists.txt"))[1].split()


def extension(field):
    """A field that the Index reads: one line, a quoted literal."""
    line = re.compile(rf'^set\(EXTENSION_{field} "([^"$\n]+)"\)$', re.M)
    found = line.findall(cmake(ROOT / "CMakeLists.txt"))
    assert len(found) == 1, f"EXTENSION_{field} is not one line with one quoted literal"
    return found[0]


def entry():
    return json.loads((ROOT / "Resources" / f"{NAME}.json").read_text(encoding="utf-8"))


def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def module_file(module):
    """The file of a module of this repository, or `None`."""
    path = MODULE.joinpath(*module.split("."))
    options = (path.with_name(f"{path.name}.py"), path / "__init__.py")
    return next((option for option in options if option.is_file()), None)


def nodes(root, into_functions=True):
    """The syntax nodes below `root`, optionally only those that run when the file is imported."""
    for node in ast.iter_child_nodes(root):
        if into_functions or not isinstance(node, ast.FunctionDef | ast.Lambda):
            yield node
            yield from nodes(node, into_functions)


def imports(path, into_functions=True):
    """The modules that a file imports, `from x import y` as x.y where that is a module."""
    package = ".".join(path.relative_to(MODULE).parent.parts)
    for node in nodes(tree(path), into_functions):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(filter(None, (package if node.level else "", node.module)))
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield inner if module_file(inner) or inner in OF_QT else base


def used(path):
    """What a file imports, and `slicer.app` where it reaches for the application."""
    yield from imports(path)
    for node in nodes(tree(path)):
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "slicer.app":
            yield "slicer.app"


def is_of(module, allowed):
    parts = module.split(".")
    return any(".".join(parts[:end]) in allowed for end in range(1, len(parts) + 1))


def reachable(*files):
    """These files and all of this repository that they import, directly or not."""
    seen, waiting = set(), list(files)
    while waiting:
        path = waiting.pop()
        if path not in seen:
            seen.add(path)
            waiting += filter(None, map(module_file, imports(path)))
    return seen


def library(*stems):
    return [MODULE / f"{NAME}Lib" / f"{stem}.py" for stem in stems]


def in_slicer():
    """The files that run inside the application."""
    return [MODULE / f"{NAME}.py", *(MODULE / f"{NAME}Lib").glob("*.py")]


def test_cmake_lists_equal_the_tree():
    scripts, resources = cmake_list("MODULE_PYTHON_SCRIPTS"), cmake_list("MODULE_PYTHON_RESOURCES")
    assert sorted(scripts) == [p.as_posix() for p in installed() if p.suffix == ".py"]
    assert sorted(resources) == [p.as_posix() for p in installed() if p.suffix != ".py"]
    assert any(name.endswith("model.safetensors") for name in resources)


def test_one_name_everywhere():
    project = re.search(r"^project\((\w+)\)$", cmake(ROOT / "CMakeLists.txt"), re.M)[1]
    module = re.search(r"set\(MODULE_NAME (\w+)\)", cmake(MODULE / "CMakeLists.txt"))[1]
    assert project == module == NAME
    assert (MODULE / f"{NAME}.py").is_file()


def test_only_the_module_is_built():
    assert re.findall(r"add_subdirectory\((.*?)\)", cmake(ROOT / "CMakeLists.txt")) == [NAME]
    assert not re.findall(r"add_subdirectory", cmake(MODULE / "CMakeLists.txt"))


def test_entry_of_the_extensions_index():
    text = (ROOT / "Resources" / f"{NAME}.json").read_bytes()
    assert b"\r" not in text and text.endswith(b"}\n")
    assert {"$schema", "category", "scm_url"} <= entry().keys() <= ENTRY.keys()
    assert all(isinstance(value, ENTRY[key]) for key, value in entry().items())
    assert entry()["$schema"].endswith("/slicer-extension-catalog-entry-schema-v1.0.1.json#")
    assert entry()["category"] == "Segmentation" and entry()["tier"] in (1, 3, 5)
    assert entry()["build_dependencies"] == extension("DEPENDS").split() == ["PyTorch"]


def test_one_repository_everywhere():
    url = entry()["scm_url"].removesuffix(".git")
    assert url.rpartition("/")[2] == f"Slicer{NAME}" and extension("HOMEPAGE") == url
    files = [ROOT / "README.md", ROOT / "CITATION.cff", ROOT / "CMakeLists.txt", *in_slicer()]
    named = {
        repository
        for file in files
        for repository in re.findall(rf"github\S*\.com/(\w+/\w*{NAME})", file.read_text("utf-8"))
    }
    assert named == {url.partition("github.com/")[2]}


@pytest.mark.parametrize("field", ["HOMEPAGE", "CONTRIBUTORS", "DESCRIPTION"])
def test_what_the_extensions_manager_shows(field):
    assert len(extension(field)) > 20


@pytest.mark.parametrize("field", ["ICONURL", "SCREENSHOTURLS"])
def test_pictures_of_the_extension_are_files_of_the_repository(field):
    repository = entry()["scm_url"].removesuffix(".git").partition("github.com/")[2]
    base = f"https://raw.githubusercontent.com/{repository}/{entry()['scm_revision']}/"
    for url in extension(field).split():
        assert url.startswith(base)
        assert Image.open(ROOT / url.removeprefix(base)).format in ("PNG", "JPEG", "GIF")


def test_icons_are_what_their_script_draws():
    sys.path.insert(0, str(ROOT / "Resources"))
    try:
        import make_icon
    finally:
        sys.path.pop(0)
    drawn = np.asarray(make_icon.draw(), dtype=int)
    for file in make_icon.FILES:
        icon = Image.open(file)
        assert (icon.format, icon.size, icon.mode) == ("PNG", (128, 128), "RGBA")
        assert np.abs(np.asarray(icon, dtype=int) - drawn).max() <= 2
    assert f"Resources/Icons/{NAME}.png" in cmake_list("MODULE_PYTHON_RESOURCES")


def test_a_licence_lies_at_the_top():
    assert (ROOT / "LICENSE.txt").is_file()


def test_installed_names_cannot_clash_in_the_shared_folder():
    top = {path.parts[0] for path in installed()} - {"Resources"}
    assert all(name.startswith(NAME) or name == "metakd" for name in top), top
    parts = {part.lower() for path in installed() for part in path.parts}
    assert not parts & {"testing", "tests", "src", "utils", "lib"}
    resources = [p for p in installed() if p.parts[0] == "Resources" and p.parts[1] != "Models"]
    assert all(any(NAME in part for part in path.parts) for path in resources), resources


def test_widgets_and_parameters_have_the_same_names():
    form = ElementTree.parse(MODULE / "Resources" / "UI" / f"{NAME}.ui")  # noqa: S314 our own file
    properties = form.iterfind(".//property[@name='SlicerParameterName']/string")
    bound = [str(name.text) for name in properties]
    classes = tree(*library("parameter_node")).body
    node = next(c for c in classes if isinstance(c, ast.ClassDef) and c.name == "ParameterNode")
    fields = {item.target.id for item in node.body if isinstance(item, ast.AnnAssign)}
    assert len(bound) == len(set(bound))
    assert set(bound) == fields - WITHOUT_WIDGET
    assert fields >= WITHOUT_WIDGET


def test_the_application_imports_only_what_slicer_ships():
    for path in in_slicer():
        for module in imports(path, into_functions=False):
            allowed = is_of(module, sys.stdlib_module_names | OF_APPLICATION)
            assert allowed or module in OF_ENGINE, f"{path.name} imports {module} at file scope"


def test_the_application_never_reaches_torch():
    for path in reachable(*in_slicer()):
        forbidden = [m for m in imports(path) if is_of(m, {"torch", "torchvision", "monai"})]
        assert not forbidden, f"{path.name} imports {forbidden}"
    assert any("torch" in imports(path) for path in reachable(*(MODULE / "metakd").glob("*.py")))


def test_the_engine_knows_nothing_of_slicer():
    for path in (MODULE / "metakd").glob("*.py"):
        outside = {"slicer", "vtk", "qt", "ctk", f"{NAME}Lib", NAME}
        assert not [m for m in imports(path) if is_of(m, outside)], path.name


def test_every_file_is_in_one_ring():
    files = sorted(path.stem for path in (MODULE / f"{NAME}Lib").glob("*.py"))
    assert sorted(" ".join(RINGS.values()).split()) == files


@pytest.mark.parametrize(("ring", "outside"), [("pure", OF_SLICER | OF_QT), ("MRML", OF_QT)])
def test_a_ring_imports_only_itself_and_inner_ones(ring, outside):
    for path in reachable(*library(*RINGS[ring].split())):
        found = sorted({module for module in used(path) if is_of(module, outside)})
        assert not found, f"{path.name} of an inner ring uses {found}"


def test_nothing_installed_runs_or_fetches_foreign_code():
    for path in (MODULE / p for p in installed() if p.suffix == ".py"):
        assert not [m for m in imports(path) if is_of(m, UNSAFE_MODULES)], path.name
        for call in (node for node in nodes(tree(path)) if isinstance(node, ast.Call)):
            name = ast.unparse(call.func)
            last = name.rpartition(".")[2]
            unsafe = name in UNSAFE_CALLS or last in UNSAFE_CALLS - {"eval", "exec"}
            assert not unsafe, f"{path.name} calls {name}"


def git(*arguments):
    command = ["git", "-C", str(ROOT), *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        pytest.skip("this is not a clone")
    return result.stdout


def test_the_clone_stays_small():
    tracked = [ROOT / name for name in git("ls-files", "-z").split("\0") if name]
    sizes = {path: path.stat().st_size for path in tracked if path.is_file()}
    assert not [path for path, size in sizes.items() if size > 12e6]
    history = int(git("rev-list", "--objects", "--disk-usage", "HEAD"))
    assert history + sum(sizes.values()) < 100e6
