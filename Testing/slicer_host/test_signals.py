"""Connections in both styles, and what a slot is given."""

import functools

import pytest

from slicer_host import problems


@pytest.fixture
def qt(host):
    import qt

    return qt


class _Listener:
    def __init__(self):
        self.heard = []

    def nothing(self):
        self.heard.append(())

    def one(self, first):
        self.heard.append((first,))


def test_a_slot_is_given_as_many_arguments_as_it_takes(qt):
    button, listener, rest = qt.QPushButton(), _Listener(), []
    button.clicked.connect(listener.nothing)
    button.clicked.connect(listener.one)
    button.clicked.connect(functools.partial(rest.append))
    button.click()
    assert listener.heard == [(), (False,)]
    assert rest == [False]  # a partial is given everything


def test_either_style_disconnects_what_was_connected(qt):
    button, listener = qt.QPushButton(), _Listener()
    button.connect("clicked()", listener.nothing)
    assert button.disconnect("clicked()", listener.nothing)
    assert not button.disconnect("clicked()", listener.nothing)
    button.clicked.connect(listener.one)
    assert not button.clicked.disconnect(listener.nothing)
    assert button.clicked.disconnect()
    button.click()
    assert listener.heard == []


def test_a_signal_that_does_not_exist_fails(qt):
    with pytest.raises(AttributeError, match=r"'pushed\(\)' does not exist on QPushButton"):
        qt.QPushButton().connect("pushed()", print)
    with pytest.raises(AttributeError, match=r"currentIndexChanged\(QString\)"):
        qt.QComboBox().connect("currentIndexChanged(QString)", print)


def test_a_signal_reaches_the_method_of_another_widget(qt):
    box, label = qt.QCheckBox(), qt.QLabel()
    box.connect("toggled(bool)", label.setEnabled)
    box.toggled.connect(label.setVisible)
    box.checked = False
    box.checked = True
    assert label.enabled
    assert label.visible
    assert box.toggled.disconnect(label.setVisible)


def test_a_finished_process_tells_its_status_only_to_who_names_it(qt):
    process, new, old = qt.QProcess(), [], []
    process.finished.connect(lambda *arguments: new.append(arguments))
    process.connect("finished(int,QProcess::ExitStatus)", lambda *a: old.append(a))
    process.start("sh", ["-c", "exit 3"])
    process.waitForFinished()
    assert (new, old) == ([(3,)], [(3, 0)])


def test_an_exception_in_a_slot_goes_no_further_but_is_known(qt):
    button = qt.QPushButton()
    button.clicked.connect(lambda: 1 / 0)
    button.click()
    (trace,) = problems.seen
    assert "ZeroDivisionError" in trace
    problems.seen.clear()


def test_an_exception_in_an_observer_is_known(host):
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTextNode")
    node.AddObserver("ModifiedEvent", lambda *_: 1 / 0)
    node.SetText("x")
    assert problems.seen
    assert all("ZeroDivisionError" in trace for trace in problems.seen)
    problems.seen.clear()


def test_waiting_ends_when_something_raises(host, qt):
    qt.QTimer.singleShot(0, lambda: 1 / 0)
    assert not host.wait(lambda: problems.seen and False, seconds=600)
    problems.seen.clear()


def test_a_timer_calls_once_and_again(host, qt):
    once, often = [], []
    timer = qt.QTimer()
    timer.timeout.connect(lambda: often.append(1))
    timer.start(1)
    qt.QTimer.singleShot(0, lambda: once.append(1))
    assert host.wait(lambda: once and len(often) > 2, seconds=5)
    assert once == [1]


def test_a_signal_can_be_emitted(qt):
    heard = []
    button = qt.QPushButton()
    button.toggled.connect(heard.append)
    button.toggled(True)
    button.toggled.emit(False)
    assert heard == [True, False]
