"""The model in use, the one that is to follow it and the one before it: what becomes of them, whatever is deployed.

Trials and loading are played; packages lie on the disk.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from inspector.core.model_status import Outcome
from inspector_fakes import eventually
from model_device import SETTINGS, Device

REFUSED = Outcome("refused", "it finds otherwise", "package another")
PASSING = Outcome("refused", "no process can be started", "none needed", is_passing=True)


def test_the_first_model_is_tried_then_loaded(device: Device) -> None:
    """In the precision that the trial chose; the status tells of it, and nothing is on probation."""
    device.outcomes["1.0.0"] = Outcome("accepted", precision="int8", milliseconds={"fp32": 2.0, "int8": 1.0})
    device.start()
    device.deploy("1.0.0")
    device.settle()
    assert (device.tried, device.loaded, device.in_use) == (["1.0.0"], [("1.0.0", "int8")], "1.0.0")
    status = device.status
    assert status.deployed == status.in_use and status.in_use
    assert (status.in_use.version, status.in_use.outcome.precision) == ("1.0.0", "int8")
    assert status.in_use.path == str(device.package("1.0.0"))
    assert (status.before, status.probation, device.models.refusal) == (None, None, None)
    link = device.package("current").lstat()
    assert status.link == f"{link.st_ino}:{link.st_ctime_ns}"


def test_the_one_in_use_goes_on_while_its_successor_is_tried(device: Device) -> None:
    """The status says that nothing is decided yet; then the new one is in use, the one before at hand."""
    device.run("1.0.0")
    device.gate.clear()
    device.deploy("2.0.0")
    eventually(lambda: not device.models.follow(device.settings) and "2.0.0" in device.tried)
    assert (device.in_use, device.status.deployed) == ("1.0.0", None)
    device.gate.set()
    device.settle()
    assert (device.in_use, device.predecessor) == ("2.0.0", "1.0.0")
    status = device.status
    assert status.in_use and status.before and status.probation
    assert (status.in_use.version, status.before.version) == ("2.0.0", "1.0.0")
    device.models.prove()
    device.settle()
    assert (device.in_use, device.predecessor, device.status.probation) == ("2.0.0", None, None)


@pytest.mark.parametrize("way", ["trial", "load"])
def test_a_refused_model_is_tried_once(device: Device, way: str, caplog: pytest.LogCaptureFixture) -> None:
    """The one in use goes on; why is said once, and to whoever asks."""
    device.run("1.0.0")
    if way == "trial":
        device.outcomes["2.0.0"] = REFUSED
    else:
        device.unloadable.add("2.0.0")
    device.deploy("2.0.0")
    for _ in range(3):
        device.settle()
    assert (device.tried, device.in_use) == (["1.0.0", "2.0.0"], "1.0.0")
    cause = "it finds otherwise" if way == "trial" else "has another SHA-256"
    assert cause in str(device.models.refusal) and "2.0.0 refused" in str(device.models.refusal)
    assert device.status.deployed and device.status.deployed.outcome.verdict == "refused"
    (record,) = [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert record.message == "model refused" and cause in record.cause  # type: ignore[attr-defined]
    device.deploy("1.0.0")
    device.settle()
    assert (device.models.refusal, device.status.deployed) == (None, device.status.in_use)
    assert device.tried == ["1.0.0", "2.0.0"]


def test_a_refused_model_takes_nothing_back(device: Device) -> None:
    """Of several that were accepted the last one goes on."""
    device.run("1.0.0", "2.0.0")
    device.outcomes["3.0.0"] = REFUSED
    device.deploy("3.0.0")
    for _ in range(3):
        device.settle()
    assert (device.in_use, device.predecessor, len(device.loaded)) == ("2.0.0", None, 2)


def mend(device: Device) -> None:
    os.utime(device.package("2.0.0") / "fp32.onnx", ns=(1, 1))


def set_a_key(device: Device) -> None:
    device.settings = msgspec.structs.replace(device.settings, require_signature=True)


def set_precision(device: Device) -> None:
    device.settings = msgspec.structs.replace(device.settings, precision="fp32")


@pytest.mark.parametrize("change", [mend, set_a_key, set_precision])
def test_a_refused_model_is_tried_anew_where_something_has_changed(device: Device, change: Any) -> None:
    """Its files, or a setting on which the outcome depends; not where any other has."""
    device.run("1.0.0")
    device.outcomes["2.0.0"] = REFUSED
    device.deploy("2.0.0")
    device.settle()
    device.settings = msgspec.structs.replace(device.settings, max_detections=5)
    device.settle()
    assert device.tried.count("2.0.0") == 1
    device.outcomes.clear()
    change(device)
    device.settle()
    assert (device.tried.count("2.0.0"), device.in_use) == (2, "2.0.0")


def test_after_a_restart_an_accepted_model_is_loaded_without_a_trial(device: Device) -> None:
    """Nothing is measured again; nor where a deployment goes back to it."""
    device.run("1.0.0", "2.0.0")
    device.start()
    device.settle()
    assert (device.in_use, device.tried) == ("2.0.0", ["1.0.0", "2.0.0"])
    device.deploy("1.0.0")
    device.settle()
    assert (device.in_use, device.tried) == ("1.0.0", ["1.0.0", "2.0.0"])


def test_an_installation_that_runs_again_changes_nothing(device: Device) -> None:
    """As at each start of the nucleus: nothing is tried or loaded, and whoever moved the link is answered."""
    device.run("1.0.0")
    before = device.status
    device.deploy("1.0.0")
    device.settle()
    assert (device.tried, len(device.loaded), device.in_use) == (["1.0.0"], 1, "1.0.0")
    assert device.status.link != before.link
    assert (device.status.deployed, device.status.earlier) == (before.deployed, before.earlier)


def test_after_a_restart_over_a_refused_model_the_last_accepted_one_goes_on(device: Device) -> None:
    """And it is said why the deployed one does not; the restart tries nothing."""
    device.run("1.0.0")
    device.outcomes["2.0.0"] = REFUSED
    device.deploy("2.0.0")
    device.settle()
    for _ in range(2):
        device.start()
        device.settle()
        assert (device.in_use, device.tried) == ("1.0.0", ["1.0.0", "2.0.0"])
        assert "it finds otherwise" in str(device.models.refusal)
        assert device.status.probation is None


@pytest.mark.parametrize("what", ["gone", "damaged"])
def test_where_the_last_accepted_one_is_lost_the_one_before_it_goes_on(device: Device, what: str) -> None:
    """As long as there is one."""
    device.run("1.0.0", "2.0.0")
    device.models.end()
    if what == "gone":
        shutil.rmtree(device.package("2.0.0"))
    else:
        (device.package("2.0.0") / "fp32.onnx").write_bytes(b"rot")
    device.start()
    device.settle()
    assert device.in_use == "1.0.0" and device.status.probation is None
    assert device.models.refusal
    shutil.rmtree(device.package("1.0.0"))
    device.start()
    device.settle()
    assert device.in_use is None


def test_a_model_that_failed_gives_way_to_the_one_before(device: Device) -> None:
    """At once, and for good: refused with the cause, over a restart too."""
    device.run("1.0.0")
    device.deploy("2.0.0")
    device.settle()
    device.models.give_up("ValueError('not finite')")
    assert (device.in_use, device.predecessor) == ("1.0.0", None)
    device.settle()
    assert (device.in_use, device.predecessor) == ("1.0.0", None)
    status = device.status
    assert status.in_use and status.in_use.version == "1.0.0"
    assert (status.before, status.probation) == (None, None)
    assert "not finite" in str(device.models.refusal)
    device.start()
    device.settle()
    assert (device.in_use, device.tried) == ("1.0.0", ["1.0.0", "2.0.0"])
    assert "not finite" in str(device.models.refusal)


def test_a_process_that_dies_on_probation_comes_back_with_the_model_before(device: Device) -> None:
    """The first time: a second death might be one too many for Greengrass."""
    device.run("1.0.0")
    device.deploy("2.0.0")
    device.settle()
    device.start()
    device.settle()
    assert (device.in_use, device.predecessor, device.tried) == ("1.0.0", None, ["1.0.0", "2.0.0"])
    assert "the process died while it was on probation" in str(device.models.refusal)
    device.start()
    device.settle()
    assert device.in_use == "1.0.0"


def ended_in_order(device: Device) -> None:
    device.models.end()


def machine_restarted(device: Device) -> None:
    device.boot = "boot-2"


@pytest.mark.parametrize("ending", [ended_in_order, machine_restarted])
def test_an_end_that_is_not_its_doing_leaves_it_on_probation(device: Device, ending: Any) -> None:
    """The next process has the one before at hand again, and its own death would count."""
    device.run("1.0.0")
    device.deploy("2.0.0")
    device.settle()
    ending(device)
    device.start()
    device.settle()
    assert (device.in_use, device.predecessor, device.tried) == ("2.0.0", "1.0.0", ["1.0.0", "2.0.0"])
    device.start()
    device.settle()
    assert device.in_use == "1.0.0"


def test_without_the_one_before_there_is_no_probation(device: Device) -> None:
    """A process that dies goes on with the only model there is."""
    device.run("1.0.0")
    device.deploy("2.0.0")
    device.settle()
    shutil.rmtree(device.package("1.0.0"))
    device.start()
    device.settle()
    assert (device.in_use, device.predecessor, device.status.probation) == ("2.0.0", None, None)


def test_a_predecessor_that_cannot_be_loaded_any_more_ends_the_probation(device: Device) -> None:
    """It is tried once, and the new one goes on."""
    device.run("1.0.0")
    device.deploy("2.0.0")
    device.settle()
    device.models.end()
    device.unloadable.add("1.0.0")
    device.start()
    for _ in range(3):
        device.settle()
    assert (device.in_use, device.predecessor, device.status.probation) == ("2.0.0", None, None)
    assert device.loaded.count(("1.0.0", "fp32")) == 2
    assert device.models.refusal is None


def test_an_inspector_that_was_updated_has_no_new_model(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried again, for the outcome may be another; but a death is not held against it."""
    device.run("1.0.0", "2.0.0")
    device.models.end()
    monkeypatch.setattr("inspector.preparation.machine.describe", lambda: ["another version"])
    for _ in range(2):
        device.start()
        device.settle()
        assert (device.in_use, device.predecessor, device.status.probation) == ("2.0.0", None, None)
    assert device.tried == ["1.0.0", "2.0.0", "2.0.0"]
    assert device.status.before and device.status.before.version == "1.0.0"


def test_a_single_file_that_was_replaced_cannot_be_gone_back_to(device: Device) -> None:
    """A process that dies goes on with the only file there is."""
    device.settings = msgspec.structs.replace(device.settings, model_directory="packages/model.onnx")
    device.start()
    for version in ("1.0.0", "2.0.0"):
        device.package("fresh.onnx").write_bytes(version.encode())
        device.package("fresh.onnx").replace(device.package("model.onnx"))
        device.settle()
    assert (device.in_use, device.predecessor) == ("2.0.0", "1.0.0")
    device.start()
    device.settle()
    assert (device.in_use, device.models.refusal) == ("2.0.0", None)


def test_a_model_that_has_proved_itself_needs_no_probation_again(device: Device) -> None:
    """Where a deployment goes back to it: the one that was withdrawn is nothing to fall back on."""
    device.run("1.0.0", "2.0.0")
    device.deploy("1.0.0")
    device.settle()
    device.start()
    device.settle()
    assert (device.in_use, device.predecessor, device.models.refusal) == ("1.0.0", None, None)


def test_back_from_a_model_on_probation(device: Device) -> None:
    """To the one before, which is proven; nothing is left of the other."""
    device.run("1.0.0")
    device.deploy("2.0.0")
    device.settle()
    device.deploy("1.0.0")
    device.settle()
    assert (device.in_use, device.predecessor) == ("1.0.0", None)
    assert (device.status.before, device.status.probation) == (None, None)


def test_the_one_before_is_the_last_that_proved_itself(device: Device) -> None:
    """Of two that follow each other quickly the first is nothing to fall back on."""
    device.run("1.0.0")
    for version in ("2.0.0", "3.0.0"):
        device.deploy(version)
        device.settle()
    assert (device.in_use, device.predecessor) == ("3.0.0", "1.0.0")
    device.start()
    device.settle()
    assert (device.in_use, device.models.refusal is None) == ("1.0.0", False)


def test_a_model_that_is_withdrawn_while_it_is_tried_never_judges(device: Device) -> None:
    """Its trial is ended."""
    device.run("1.0.0")
    device.gate.clear()
    device.deploy("2.0.0")
    eventually(lambda: device.models.follow(device.settings) or "2.0.0" in device.tried)
    device.deploy("1.0.0")
    device.models.follow(device.settings)
    assert not device.models.is_preparing and device.gate.is_set()
    device.settle()
    assert (device.in_use, device.loaded) == ("1.0.0", [("1.0.0", "fp32")])


def test_a_newer_model_does_not_wait_for_the_trial_of_an_older_one(device: Device) -> None:
    """Which may take two minutes."""
    device.run("1.0.0")
    device.gate.clear()
    for version in ("2.0.0", "3.0.0"):
        device.deploy(version)
        eventually(lambda wanted=version: device.models.follow(device.settings) or wanted in device.tried)
    device.gate.set()
    device.settle()
    assert (device.in_use, device.predecessor) == ("3.0.0", "1.0.0")


def test_what_happens_while_the_next_is_tried_is_on_record(device: Device) -> None:
    """A trial may take two minutes, and the process may die meanwhile."""
    device.run("1.0.0")
    device.deploy("2.0.0")
    device.settle()
    device.gate.clear()
    device.deploy("3.0.0")
    eventually(lambda: device.models.follow(device.settings) or "3.0.0" in device.tried)
    device.models.prove()
    device.models.follow(device.settings)
    assert device.status.probation is None


def test_one_on_probation_judges_nothing_before_the_one_before_is_at_hand(device: Device) -> None:
    """After a restart: the first image that it fails on would have no other judge."""
    device.run("1.0.0")
    device.deploy("2.0.0")
    device.settle()
    device.models.end()
    models = device.start()
    seen = set()

    def is_over() -> bool:
        models.follow(device.settings)
        seen.add((device.in_use, device.predecessor, models.is_ready))
        return models.is_ready

    eventually(is_over)
    assert seen >= {("2.0.0", None, False), ("2.0.0", "1.0.0", True)}
    assert ("2.0.0", None, True) not in seen


def test_once_nothing_judges_an_end_is_not_its_doing(device: Device) -> None:
    """However the process ends."""
    device.run("1.0.0")
    device.deploy("2.0.0")
    device.settle()
    device.models.absolve()
    device.start()
    device.settle()
    assert (device.in_use, device.predecessor) == ("2.0.0", "1.0.0")


def test_probation_can_be_switched_off(device: Device) -> None:
    """ProbationFrames 0: nothing is kept in memory, and a death means nothing."""
    device.settings = msgspec.structs.replace(device.settings, probation_frames=0)
    device.run("1.0.0")
    device.deploy("2.0.0")
    device.settle()
    assert (device.in_use, device.predecessor, device.status.probation) == ("2.0.0", None, None)
    device.start()
    device.settle()
    assert device.in_use == "2.0.0"


def test_a_model_deployed_while_nothing_ran_is_on_probation_too(device: Device) -> None:
    """The one before is loaded for it."""
    device.run("1.0.0")
    device.models.end()
    device.deploy("2.0.0")
    device.start()
    device.settle()
    assert (device.in_use, device.predecessor) == ("2.0.0", "1.0.0")
    assert device.status.probation and device.status.probation.boot == "boot-1"


def test_what_may_pass_is_tried_again_later(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not at every look; each time after twice the time, and at once after a restart."""
    now = [1_000.0]
    monkeypatch.setattr("inspector.models.time", SimpleNamespace(monotonic=lambda: now[0], time=time.time))
    device.run("1.0.0")
    device.outcomes["2.0.0"] = PASSING
    device.deploy("2.0.0")
    for seconds, tries in ((0, 1), (59, 1), (2, 2), (100, 2), (21, 3)):
        now[0] += seconds
        device.settle()
        assert (device.in_use, device.tried.count("2.0.0")) == ("1.0.0", tries), seconds
        assert device.models.refusal
    device.start()
    device.outcomes.clear()
    device.settle()
    assert (device.in_use, device.models.refusal) == ("2.0.0", None)


def test_with_nothing_in_use_it_is_tried_every_minute(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line is down until then."""
    now = [1_000.0]
    monkeypatch.setattr("inspector.models.time", SimpleNamespace(monotonic=lambda: now[0], time=time.time))
    device.start()
    device.outcomes["1.0.0"] = PASSING
    device.deploy("1.0.0")
    for tries in range(1, 6):
        device.settle()
        assert device.tried.count("1.0.0") == tries
        now[0] += 61


def test_what_passed_is_forgotten(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once a model was accepted, the next that meets with something passing waits as long as the first did."""
    now = [1_000.0]
    monkeypatch.setattr("inspector.models.time", SimpleNamespace(monotonic=lambda: now[0], time=time.time))
    device.run("1.0.0")
    for version in ("2.0.0", "3.0.0"):
        device.outcomes[version] = PASSING
        device.deploy(version)
        device.settle()
        device.outcomes.clear()
        now[0] += 61
        device.settle()
        assert device.in_use == version


def test_a_package_that_changes_while_it_is_tried_is_tried_again(device: Device) -> None:
    """What was tried is what is loaded."""
    device.run("1.0.0")
    device.gate.clear()
    device.deploy("2.0.0")
    eventually(lambda: device.models.follow(device.settings) or "2.0.0" in device.tried)
    (device.package("2.0.0") / "manifest.sig").write_bytes(b"signed")
    device.gate.set()
    device.settle()
    assert (device.in_use, device.tried.count("2.0.0")) == ("2.0.0", 2)


def test_another_model_directory_is_another_matter(device: Device) -> None:
    """What was in use there does not go on in place of what is missing here: it may be for other parts."""
    device.run("1.0.0")
    device.settings = msgspec.structs.replace(device.settings, model_directory="packages/elsewhere")
    device.settle()
    assert device.in_use is None and "packages/elsewhere" in str(device.models.refusal)
    device.start()
    device.settle()
    assert device.in_use is None
    device.settings = SETTINGS
    device.settle()
    assert (device.in_use, device.tried) == ("1.0.0", ["1.0.0"])


def test_what_is_not_trusted_any_more_judges_nothing(device: Device) -> None:
    """Another key: the running package must be verified by it first."""
    device.run("1.0.0")
    device.outcomes["1.0.0"] = REFUSED
    device.gate.clear()
    device.settings = msgspec.structs.replace(device.settings, public_key="other", require_signature=True)
    device.models.follow(device.settings)
    assert device.in_use is None
    device.gate.set()
    device.settle()
    assert device.in_use is None and device.models.refusal


def test_another_precision_is_taken_while_the_one_in_use_goes_on(device: Device) -> None:
    """With a trial, and without probation: it is no new model."""
    device.run("1.0.0")
    device.outcomes["1.0.0"] = Outcome("accepted", precision="int8")
    device.gate.clear()
    device.settings = msgspec.structs.replace(device.settings, precision="int8")
    device.models.follow(device.settings)
    assert device.models.in_use and device.models.in_use.info.precision == "fp32"
    device.gate.set()
    device.settle()
    assert device.models.in_use.info.precision == "int8"
    assert (device.predecessor, device.status.before, device.status.probation) == (None, None, None)


def test_a_setting_that_changes_meanwhile_is_not_answered_by_an_earlier_trial(device: Device) -> None:
    """The trial that began under the old one ends, and counts for nothing."""
    device.run("1.0.0")
    device.gate.clear()
    device.deploy("2.0.0")
    eventually(lambda: device.models.follow(device.settings) or "2.0.0" in device.tried)
    device.settings = msgspec.structs.replace(device.settings, precision="int8")
    device.settle()
    assert device.tried == ["1.0.0", "2.0.0", "2.0.0"]
    assert device.in_use == "2.0.0"


def test_what_is_missing_is_waited_for(device: Device) -> None:
    """No package at all, at first and later; nothing is remembered of it."""
    device.start()
    device.settle()
    assert device.in_use is None and "packages/current: No such file" in str(device.models.refusal)
    device.deploy("1.0.0")
    device.settle()
    assert device.in_use == "1.0.0"
    device.package("current").unlink()
    device.settle()
    assert device.in_use == "1.0.0" and device.models.refusal
    assert device.status.deployed is None and len(device.status.earlier) == 1


def test_a_package_that_cannot_be_read_is_answered(device: Device) -> None:
    """Whoever deployed it need not wait to hear why."""
    device.run("1.0.0")
    device.deploy("2.0.0")
    (device.package("2.0.0") / "manifest.json").unlink()
    device.settle()
    deployed = device.status.deployed
    assert deployed and deployed.outcome.verdict == "refused" and "manifest.json" in deployed.outcome.cause
    device.settle()
    assert (device.in_use, device.status.deployed) == ("1.0.0", deployed)
    assert all(each.version != "2.0.0" for each in device.status.earlier)


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 100_000, b'{"schema": "other"}', b"\xff"])
def test_a_status_that_cannot_be_read_is_begun_anew(device: Device, content: bytes) -> None:
    """The model is tried again, and that is all."""
    device.run("1.0.0")
    (device.work / "model-status.json").write_bytes(content)
    device.start()
    device.settle()
    assert (device.in_use, device.tried) == ("1.0.0", ["1.0.0", "1.0.0"])
    assert device.status.in_use


def test_a_status_that_cannot_be_written_stops_nothing(
    device: Device, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said once, and written once there is room."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("inspector.models.model_status.write", full)
        device.run("1.0.0", "2.0.0")
    (record,) = [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert record.message == "model status not written"
    assert device.in_use == "2.0.0"
    device.settle()
    assert device.status.in_use and device.status.in_use.version == "2.0.0"


def test_an_end_waits_for_no_trial(device: Device) -> None:
    """It is cancelled, and counts for nothing."""
    device.run("1.0.0")
    device.gate.clear()
    device.deploy("2.0.0")
    eventually(lambda: device.models.follow(device.settings) or "2.0.0" in device.tried)
    device.models.end()
    assert device.status.deployed is None
    assert [each.version for each in device.status.earlier] == ["1.0.0"]
