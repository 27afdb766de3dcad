import sys

import numpy as np
import pytest
from metakd.memory import Memory, give_back_freed_memory, hold_freed_memory, is_out_of_memory

SOURCE = np.zeros(3)  # compares element by element, as images do


def made(values):
    """A maker that counts its calls: each call takes the next value."""
    return iter(values).__next__


def test_a_value_is_made_once_for_the_same_source_and_key():
    memory, make = Memory(), made("ab")
    assert memory.recall("slot", SOURCE, (1, "x"), make) == "a"
    assert memory.recall("slot", SOURCE, (1, "x"), make) == "a"


@pytest.mark.parametrize(("source", "key"), [(SOURCE.copy(), 1), (SOURCE, 2), (None, 1)])
def test_another_source_or_key_gives_another_value_in_place_of_the_first(source, key):
    memory, make = Memory(), made("abc")
    memory.recall("slot", SOURCE, 1, make)
    assert memory.recall("slot", source, key, make) == "b"
    assert memory.recall("slot", SOURCE, 1, make) == "c"


def test_what_could_not_be_made_is_not_kept():
    memory = Memory()
    memory.recall("slot", SOURCE, 1, str)
    with pytest.raises(StopIteration):
        memory.recall("slot", SOURCE, 2, made(""))
    assert not memory.holds("slot", SOURCE, 1)
    assert not memory.holds("slot", SOURCE, 2)


def test_forgetting_says_whether_there_was_anything():
    memory = Memory()
    assert not memory.forget()
    memory.recall("slot", SOURCE, 1, str)
    assert memory.forget()
    assert not memory.holds("slot", SOURCE, 1)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 20 GiB"), True),
        (RuntimeError("ITK ERROR: Failed to allocate memory for image."), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("could not create a primitive"), True),
        (RuntimeError("size mismatch"), False),
    ],
)
def test_every_librarys_way_to_say_out_of_memory_is_understood(error, expected):
    assert is_out_of_memory(error) == expected


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's")
def test_freed_memory_is_held_and_given_back():
    """In a process of its own, as the setting stays."""
    import subprocess

    script = """
from pathlib import Path
import numpy as np
from metakd.memory import give_back_freed_memory, hold_freed_memory
def megabytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20
hold_freed_memory()
before = megabytes()
np.ones(2**26, dtype=np.uint8)
held = megabytes() - before
give_back_freed_memory()
print(held > 50, megabytes() - before < 10)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.split() == ["True", "True"], done.stderr


def test_elsewhere_than_with_glibc_nothing_happens(monkeypatch):
    monkeypatch.setattr("sys.platform", "win32")
    hold_freed_memory()
    give_back_freed_memory()
