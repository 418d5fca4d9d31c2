"""Each component's configuration: a tree whose leaves carry the time they were set.

Kept under the host's root as JSON, so that it survives a restart. Source: ``Topics`` and ``Topic`` of the classic
nucleus, ``ggconfigd`` of Greengrass Lite.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgehost import durable

KeyPath = tuple[str, ...]
Watcher = Callable[[KeyPath], None]
Fold = Callable[[str], str]


class StaleUpdateError(Exception):
    """A value in the tree is newer than the update."""


@dataclass(slots=True)
class Leaf:
    """A scalar, a list or null, and when it was set (milliseconds since 1970)."""

    value: Any
    modified_ms: int


class Branch:
    """A mapping, in the order in which its keys came. Keys are the same when they ``fold`` to the same.

    A key keeps the spelling that it came with first.
    """

    __slots__ = ("_children", "fold")

    def __init__(self, fold: Fold) -> None:
        self.fold = fold
        self._children: dict[str, tuple[str, Branch | Leaf]] = {}

    def __iter__(self) -> Iterator[tuple[str, Branch | Leaf]]:
        return iter(self._children.values())

    def get(self, key: str) -> tuple[str, Branch | Leaf] | None:
        """The key as spelled in the tree, and its node."""
        return self._children.get(self.fold(key))

    def put(self, key: str, node: Branch | Leaf) -> None:
        """Set a child, keeping the spelling of a key that is there already."""
        spelled = self._children.get(self.fold(key), (key,))[0]
        self._children[self.fold(key)] = (spelled, node)

    def remove(self, key: str) -> None:
        """Take a child away, if it is there."""
        self._children.pop(self.fold(key), None)

    def find(self, path: Sequence[str]) -> tuple[KeyPath, Branch | Leaf] | None:
        """The node at ``path`` with the path as spelled, or None."""
        spelled: KeyPath = ()
        node: Branch | Leaf = self
        for key in path:
            child = node.get(key) if isinstance(node, Branch) else None
            if child is None:
                return None
            spelled, node = (*spelled, child[0]), child[1]
        return spelled, node


@dataclass(frozen=True, slots=True)
class Change:
    """What a deployment does to a configuration: reset paths to the defaults, ``()`` being all of it, then merge."""

    merge: Mapping[str, Any] = field(default_factory=dict)
    reset: tuple[KeyPath, ...] = ()


class ConfigurationStore:
    """The configuration of every component, by name. ``ignores_key_case``: keys compare without case."""

    def __init__(self, path: Path, *, ignores_key_case: bool = True) -> None:
        self._path = path
        self._fold: Fold = str.casefold if ignores_key_case else str
        self._components: dict[str, Branch] = {}
        self._watchers: dict[str, list[tuple[KeyPath, Watcher]]] = {}
        try:
            for name, stored in durable.read_mapping(path).items():
                self._components[name] = _load(stored, self._fold)
        except (AttributeError, TypeError) as error:
            raise durable.damaged(path, str(error)) from error

    def __contains__(self, component: str) -> bool:
        return component in self._components

    def find(self, component: str, path: Sequence[str] = ()) -> tuple[KeyPath, Branch | Leaf] | None:
        """The node at ``path`` of a component and its path as spelled; None where either isn't there."""
        tree = self._components.get(component)
        return tree.find(path) if tree else None

    def value(self, component: str, path: Sequence[str] = ()) -> Any:
        """The plain value at ``path``. Raises KeyError where there is none."""
        found = self.find(component, path)
        if found is None:
            raise KeyError(f"{component}: /{'/'.join(path)}")
        return plain(found[1])

    def merge(self, component: str, path: Sequence[str], values: Mapping[str, Any], at_ms: int) -> None:
        """Merge ``values`` into the mapping at ``path``, as of ``at_ms``; watchers hear of every leaf that changed.

        Raises StaleUpdateError, with nothing changed, where a leaf that is there is newer.
        """
        tree = self._components.setdefault(component, Branch(self._fold))
        nested = _nested(path, values)
        _check_fresh(tree, nested, at_ms)
        changed = list(_merge(tree, nested, at_ms, ()))
        self._save()
        self._notify(component, changed)

    def add_defaults(self, component: str, defaults: Mapping[str, Any]) -> None:
        """Add the keys that the component lacks; what is there already stays, whatever a new version's default is."""
        tree = self._components.setdefault(component, Branch(self._fold))
        changed = list(_add_missing(tree, defaults, ()))
        self._save()
        self._notify(component, changed)

    def preview(self, component: str, defaults: Mapping[str, Any], change: Change) -> Any:
        """What the configuration would be after ``deploy``."""
        return plain(self._planned(component, defaults, change, 0))

    def deploy(self, component: str, defaults: Mapping[str, Any], change: Change, at_ms: int) -> None:
        """What a deployment does: reset to the defaults, add those that are missing, merge, as of ``at_ms``."""
        self._replace({**self._components, component: self._planned(component, defaults, change, at_ms)})

    def remove(self, component: str) -> None:
        """Forget a component's configuration."""
        self._replace({name: tree for name, tree in self._components.items() if name != component})

    def snapshot(self) -> str:
        """Everything, times included, as the file has it."""
        return json.dumps({name: _dump(tree) for name, tree in self._components.items()}, indent=1)

    def restore(self, snapshot: str) -> None:
        """Go back to a snapshot; watchers hear of what changes by it."""
        self._replace({name: _load(stored, self._fold) for name, stored in json.loads(snapshot).items()})

    def watch(self, component: str, path: Sequence[str], watcher: Watcher) -> Callable[[], None]:
        """Call ``watcher`` with the path of each leaf that changes at or below ``path``; returns what ends that."""
        entry = (tuple(map(self._fold, path)), watcher)
        self._watchers.setdefault(component, []).append(entry)
        return lambda: self._watchers[component].remove(entry)

    def _planned(self, component: str, defaults: Mapping[str, Any], change: Change, at_ms: int) -> Branch:
        current = self._components.get(component)
        tree = _load(_dump(current), self._fold) if current else Branch(self._fold)
        for path in change.reset:
            tree = _without(tree, path)
        list(_add_missing(tree, defaults, ()))
        list(_merge(tree, change.merge, at_ms, ()))
        return tree

    def _replace(self, components: dict[str, Branch]) -> None:
        before, self._components = self._components, components
        self._save()
        for name, tree in components.items():
            self._notify(name, list(_changed(before.get(name, Branch(self._fold)), tree, ())))

    def _notify(self, component: str, changed: list[KeyPath]) -> None:
        for path in changed:
            folded = tuple(map(self._fold, path))
            for prefix, watcher in list(self._watchers.get(component, ())):
                if folded[: len(prefix)] == prefix:
                    watcher(path)

    def _save(self) -> None:
        durable.write(self._path, self.snapshot())


def now_ms() -> int:
    """The time that a deployment's values are set at."""
    return time.time_ns() // 1_000_000


def plain(node: Branch | Leaf) -> Any:
    """The node as JSON-like values."""
    if isinstance(node, Leaf):
        return node.value
    return {key: plain(child) for key, child in node}


def _nested(path: Sequence[str], values: Mapping[str, Any]) -> Mapping[str, Any]:
    for key in reversed(path):
        values = {key: values}
    return values


def _check_fresh(branch: Branch, values: Mapping[str, Any], at_ms: int) -> None:
    for key, value in values.items():
        _, node = branch.get(key) or (key, None)
        if isinstance(node, Branch) and isinstance(value, Mapping):
            _check_fresh(node, value, at_ms)
        elif node is not None and _newest(node) > at_ms:
            raise StaleUpdateError(key)


def _newest(node: Branch | Leaf) -> int:
    if isinstance(node, Leaf):
        return node.modified_ms
    return max((_newest(child) for _, child in node), default=0)


def _merge(branch: Branch, values: Mapping[str, Any], at_ms: int, path: KeyPath) -> Iterator[KeyPath]:
    for key, value in values.items():
        spelled, node = branch.get(key) or (key, None)
        here = (*path, spelled)
        if isinstance(value, Mapping):
            if not isinstance(node, Branch):
                node = Branch(branch.fold)
                branch.put(key, node)
            yield from _merge(node, value, at_ms, here)
            continue
        branch.put(key, Leaf(value, at_ms))
        if not (isinstance(node, Leaf) and _same(node.value, value)):
            yield here


def _add_missing(branch: Branch, defaults: Mapping[str, Any], path: KeyPath) -> Iterator[KeyPath]:
    for key, value in defaults.items():
        spelled, node = branch.get(key) or (key, None)
        if node is None:
            yield from _merge(branch, {key: value}, 1, path)
        elif isinstance(node, Branch) and isinstance(value, Mapping):
            yield from _add_missing(node, value, (*path, spelled))


def _without(tree: Branch, path: KeyPath) -> Branch:
    if not path:
        return Branch(tree.fold)
    if (found := tree.find(path[:-1])) and isinstance(found[1], Branch):
        found[1].remove(path[-1])
    return tree


def _changed(before: Branch, after: Branch, path: KeyPath) -> Iterator[KeyPath]:
    """The leaves that are new, have another value, or are gone."""
    for key, node in after:
        _, old = before.get(key) or (key, None)
        if isinstance(node, Branch):
            yield from _changed(old if isinstance(old, Branch) else Branch(after.fold), node, (*path, key))
        elif not (isinstance(old, Leaf) and _same(old.value, node.value)):
            yield (*path, key)
    for key, old in before:
        if after.get(key) is None:
            yield from (
                _changed(Branch(after.fold), old, (*path, key)) if isinstance(old, Branch) else [(*path, key)]
            )


def _same(old: Any, new: Any) -> bool:
    # 1, 1.0 and True are equal in Python, in lists too, and three different values in a configuration.
    return json.dumps(old, sort_keys=True) == json.dumps(new, sort_keys=True)


def _dump(node: Branch | Leaf) -> Any:
    if isinstance(node, Leaf):
        return [node.value, node.modified_ms]
    return {key: _dump(child) for key, child in node}


def _load(stored: Any, fold: Fold) -> Branch:
    branch = Branch(fold)
    for key, value in stored.items():
        branch.put(key, _load(value, fold) if isinstance(value, dict) else Leaf(*value))
    return branch
