"""The configuration store: case, time, defaults, events, disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgehost.configuration import Change, ConfigurationStore, StaleUpdateError
from edgehost.durable import DamagedFileError

NAME = "com.a"


@pytest.fixture
def store(tmp_path: Path) -> ConfigurationStore:
    return ConfigurationStore(tmp_path / "config" / "configuration.json")


def test_keys_compare_without_case_and_keep_their_first_spelling(store: ConfigurationStore) -> None:
    """A merge under another spelling changes the value, not the name."""
    store.merge(NAME, (), {"Image": {"Width": 1}}, at_ms=10)
    store.merge(NAME, ("IMAGE",), {"width": 2}, at_ms=11)
    assert store.value(NAME) == {"Image": {"Width": 2}}
    assert store.find(NAME, ("image", "WIDTH"))[0] == ("Image", "Width")


def test_keys_may_tell_case_apart(tmp_path: Path) -> None:
    """Two spellings are two keys then, for watchers and on disk too."""
    store = ConfigurationStore(tmp_path / "configuration.json", ignores_key_case=False)
    store.merge(NAME, (), {"Image": {"Width": 1}, "image": {"width": 2}}, at_ms=10)
    heard: list[tuple[str, ...]] = []
    store.watch(NAME, ("Image",), heard.append)
    store.merge(NAME, (), {"Image": {"width": 3}, "image": {"width": 4}}, at_ms=11)
    assert heard == [("Image", "width")]
    again = ConfigurationStore(tmp_path / "configuration.json", ignores_key_case=False)
    assert again.value(NAME) == {"Image": {"Width": 1, "width": 3}, "image": {"width": 4}}
    assert again.find(NAME, ("IMAGE",)) is None
    assert again.preview(NAME, {"IMAGE": 1}, Change(reset=(("image",),))) == {
        "Image": {"Width": 1, "width": 3},
        "IMAGE": 1,
    }


def test_older_update_is_refused_whole(store: ConfigurationStore) -> None:
    """One stale leaf refuses all of the update; an equal time is no older."""
    store.merge(NAME, (), {"a": {"b": 1}}, at_ms=10)
    with pytest.raises(StaleUpdateError):
        store.merge(NAME, (), {"new": 1, "a": {"b": 2}}, at_ms=9)
    with pytest.raises(StaleUpdateError):
        store.merge(NAME, (), {"a": "a scalar in place of the mapping"}, at_ms=9)
    assert store.value(NAME) == {"a": {"b": 1}}
    store.merge(NAME, (), {"a": {"b": 2}}, at_ms=10)
    assert store.value(NAME) == {"a": {"b": 2}}


def test_defaults_fill_gaps_only(store: ConfigurationStore) -> None:
    """What is there stays, whatever a new version's default is; what is missing comes, at any depth."""
    store.add_defaults(NAME, {"a": 1, "deep": {"x": 1}})
    store.merge(NAME, (), {"deep": {"x": 5}}, at_ms=10)
    store.add_defaults(NAME, {"A": 2, "deep": {"x": 2, "y": 2}, "b": 2})
    assert store.value(NAME) == {"a": 1, "deep": {"x": 5, "y": 2}, "b": 2}


def test_preview_is_what_a_deployment_makes(store: ConfigurationStore) -> None:
    """Asking what a deployment would make of the configuration changes nothing."""
    store.merge(NAME, (), {"a": 1, "gone": 1, "deep": {"x": 5}}, at_ms=10)
    change = Change({"a": 2}, (("Deep", "X"), ("gone",), ("no", "such")))
    defaults = {"b": 1, "a": 7, "deep": {"x": 1}}
    preview = store.preview(NAME, defaults, change)
    assert store.value(NAME) == {"a": 1, "gone": 1, "deep": {"x": 5}}
    heard: list[tuple[str, ...]] = []
    store.watch(NAME, (), heard.append)
    store.deploy(NAME, defaults, change, 11)
    assert store.value(NAME) == preview == {"a": 2, "deep": {"x": 1}, "b": 1}
    assert sorted(heard) == [("a",), ("b",), ("deep", "x"), ("gone",)]


def test_reset_of_everything_leaves_the_defaults(store: ConfigurationStore) -> None:
    """An empty path is the whole configuration; what is merged comes after."""
    store.merge(NAME, (), {"a": 1, "c": 1}, at_ms=10)
    store.deploy(NAME, {"a": 7, "b": 7}, Change({"b": 8}, ((),)), 11)
    assert store.value(NAME) == {"a": 7, "b": 8}


def test_snapshot_brings_values_and_their_times_back(store: ConfigurationStore) -> None:
    """An update that was too old before is too old again; watchers hear only of what changes."""
    store.merge(NAME, (), {"a": 1, "b": 1}, at_ms=10)
    snapshot = store.snapshot()
    store.merge(NAME, (), {"a": 2}, at_ms=20)
    store.remove("com.other")
    heard: list[tuple[str, ...]] = []
    store.watch(NAME, (), heard.append)
    store.restore(snapshot)
    assert (store.value(NAME), heard) == ({"a": 1, "b": 1}, [("a",)])
    with pytest.raises(StaleUpdateError):
        store.merge(NAME, (), {"a": 3}, at_ms=9)
    store.merge(NAME, (), {"a": 3}, at_ms=11)


@pytest.mark.parametrize("text", ["{", "[]", '{"com.a": 1}', '{"com.a": {"a": 1}}'])
def test_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    """With what to do about it."""
    (tmp_path / "configuration.json").write_text(text)
    with pytest.raises(DamagedFileError, match=r"configuration\.json is damaged: .*empty root"):
        ConfigurationStore(tmp_path / "configuration.json")


def test_watchers_hear_each_changed_leaf_below_them(store: ConfigurationStore) -> None:
    """Types count as changes; equal values, other branches and ended watches do not."""
    store.merge(NAME, (), {"a": {"x": 1, "y": 1, "list": [1]}, "b": 1}, at_ms=10)
    heard: list[tuple[str, ...]] = []
    end = store.watch(NAME, ("A",), heard.append)
    store.merge(NAME, (), {"a": {"x": 1, "y": True, "z": {"deep": []}}, "b": 2}, at_ms=11)
    assert heard == [("a", "y"), ("a", "z", "deep")]
    store.merge(NAME, ("a",), {"list": [True]}, at_ms=11)
    assert heard.pop() == ("a", "list")
    end()
    store.merge(NAME, (), {"a": {"x": 9}}, at_ms=12)
    assert len(heard) == 2


def test_survives_a_restart(store: ConfigurationStore, tmp_path: Path) -> None:
    """Values, spelling and times are as before."""
    store.merge(NAME, (), {"Deep": {"List": [1, {"x": None}], "é": 0.1}, "Empty": {}}, at_ms=10)
    again = ConfigurationStore(tmp_path / "config" / "configuration.json")
    assert again.value(NAME) == store.value(NAME)
    with pytest.raises(StaleUpdateError):
        again.merge(NAME, ("deep",), {"list": []}, at_ms=9)


def test_missing_names_what_is_missing(store: ConfigurationStore) -> None:
    """A path that leads nowhere, past a leaf too."""
    store.merge(NAME, (), {"a": 1}, at_ms=1)
    assert store.find(NAME, ("a", "b")) is None
    with pytest.raises(KeyError, match=r"com\.a: /none"):
        store.value(NAME, ("none",))
