"""A recipe's text as values that know where they stand: YAML or JSON text -> Field. Pure.

1. A mapping that has a key twice is refused: classic takes the last of the two, Lite the first.
2. So is an alias (``*name``), which classic reads as the text ``name``: so no text grows as it is read.
3. YAML scalars have the types that Jackson's parser gives them, or are all texts, as Lite's has them
   (modules/ggl-yaml). JSON keeps its types on both.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, NoReturn

import yaml

log = logging.getLogger(__name__)

Path = tuple[str | int, ...]

_TAG = "tag:yaml.org,2002:"
_KINDS = ("str", "int", "float", "bool", "null", "timestamp", "value", "merge", "seq", "map")
_CONSTANTS = {"true": True, "false": False, "null": None, "~": None, "": None}
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9_]{0,300})")
_FLOAT = re.compile(r"[-+]?[0-9][0-9_]*\.[0-9_]*([eE][-+]?[0-9]{1,3})?")


class RecipeError(ValueError):
    """A recipe that this host refuses; the message names the recipe, the line, the field and what is wrong."""


@dataclass(frozen=True, slots=True)
class Document:
    """What the fields of one recipe share: its name for errors, and the line of each field."""

    source: str
    lines: dict[Path, int]
    ignores_key_case: bool

    def error(self, line: int | None, problem: str) -> RecipeError:
        """An error that tells the recipe, and the line where it is known."""
        return RecipeError(f"recipe {self.source}{f', line {line}' if line else ''}: {problem}")


@dataclass(frozen=True, slots=True)
class Field:
    """A value of a recipe and its place there; ``value`` is None where the recipe has none.

    ``hint`` tells why there is none, if that is not plain.
    """

    value: Any
    path: Path
    document: Document
    hint: str = "is missing"

    def get(self, key: str) -> Field:
        """The value of a key, as the nucleus compares keys. Raises RecipeError for what is no mapping."""
        spelled = self._spelled(key)
        if spelled is None:
            return Field(None, (*self.path, key), self.document)
        if spelled != key and not self.document.ignores_key_case:
            hint = f"is not read, as keys compare with case: write {key}"
            unread = Field(None, (*self.path, spelled), self.document, hint)
            log.warning("%s", unread.error(hint))
            return unread
        return Field(self.value[spelled], (*self.path, spelled), self.document)

    def entries(self) -> Iterator[tuple[str, Field]]:
        """Keys and values of a mapping; nothing where there is no value."""
        if not isinstance(self.value, dict | None):
            raise self.error(f"is {self.value!r}, not a mapping")
        for key, value in (self.value or {}).items():
            yield key, Field(value, (*self.path, key), self.document)

    def items(self) -> list[Field]:
        """Values of a list; none where there is no value."""
        if not isinstance(self.value, list | None):
            raise self.error(f"is {self.value!r}, not a list")
        return [
            Field(value, (*self.path, index), self.document) for index, value in enumerate(self.value or ())
        ]

    def text(self) -> str:
        """A value that must be there and be text."""
        if self.value is None:
            raise self.missing()
        if not isinstance(self.value, str):
            raise self.error(f"is {self.value!r}, not text")
        return self.value

    def missing(self) -> RecipeError:
        """The error where a value must be there."""
        return self.error(self.hint)

    def error(self, problem: str) -> RecipeError:
        """An error that tells the recipe, the line and the field."""
        return self.document.error(self._line(), f"{self.place} {problem}")

    @property
    def place(self) -> str:
        """The path as it is written: ``Manifests[0].Lifecycle.run``."""
        return _as_text(self.path)

    def _spelled(self, key: str) -> str | None:
        """The key as the recipe spells it, in whatever case."""
        keys = [name for name, _ in self.entries()]
        if key in keys:
            return key
        return next((name for name in keys if name.casefold() == key.casefold()), None)

    def _line(self) -> int | None:
        """The line of the field, or of what holds it."""
        path = self.path
        while path and path not in self.document.lines:
            path = path[:-1]
        return self.document.lines.get(path)


def read(content: bytes, source: PurePath, *, types_scalars: bool, ignores_key_case: bool) -> Field:
    """The whole recipe, which is a mapping. ``source`` names it in errors, and its suffix tells JSON from YAML."""
    document = Document(str(source), {}, ignores_key_case)
    try:
        text = content.decode()
        value = (
            _from_json(text, document)
            if source.suffix == ".json"
            else _from_yaml(text, document, types_scalars)
        )
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise document.error(line, "is not UTF-8: save it in that encoding") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise document.error(mark.line + 1 if mark else None, f"can't be parsed: {error.problem}") from error
    except json.JSONDecodeError as error:
        raise document.error(error.lineno, f"can't be parsed: {error.msg}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise document.error(
            line, f"can't be parsed: it has the character U+{error.character:04X}"
        ) from error
    except (yaml.YAMLError, ValueError) as error:
        if isinstance(error, RecipeError):
            raise
        raise document.error(None, f"can't be parsed: {error}") from error
    except RecursionError:
        raise document.error(None, "can't be parsed: it is nested too deeply") from None
    if value is None:
        raise document.error(None, "is empty")
    if not isinstance(value, dict):
        raise document.error(None, "is not a mapping with ComponentName, ComponentVersion, Manifests…")
    return Field(value, (), document)


def _from_json(text: str, document: Document) -> Any:
    value = json.loads(text, parse_constant=_refuse_constant)
    # JSON is YAML but for tabs: read as such, it gives the lines, and tells a key that is there twice.
    _from_yaml(text.replace("\t", " "), document, types_scalars=False)
    return value


def _from_yaml(text: str, document: Document, types_scalars: bool) -> Any:
    root = yaml.compose(text, Loader=_Loader)
    return None if root is None else _value(root, (), document, types_scalars)


def _value(node: yaml.Node, path: Path, document: Document, types_scalars: bool) -> Any:
    if isinstance(node, yaml.MappingNode):
        return dict(_pairs(node, path, document, types_scalars))
    if isinstance(node, yaml.SequenceNode):
        return list(_items(node, path, document, types_scalars))
    return _scalar(node) if types_scalars else node.value


def _items(node: yaml.SequenceNode, path: Path, document: Document, types_scalars: bool) -> Iterator[Any]:
    for index, item in enumerate(node.value):
        here = (*path, index)
        document.lines[here] = item.start_mark.line + 1
        yield _value(item, here, document, types_scalars)


def _pairs(
    node: yaml.MappingNode, path: Path, document: Document, types_scalars: bool
) -> Iterator[tuple[str, Any]]:
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise document.error(line, f"{_as_text(path) or 'it'} has a key that is not text")
        here = (*path, key.value)
        if first := document.lines.get(here):
            raise document.error(
                line, f"{_as_text(here)} is there already, in line {first}; keep one of them"
            )
        document.lines[here] = line
        yield key.value, _value(value, here, document, types_scalars)


def _scalar(node: yaml.Node) -> Any:
    """A scalar as ``YAMLParser`` of Jackson reads it: ``yes``, ``1:30``, ``0x1f`` and dates are texts."""
    text: str = node.value
    if getattr(node, "style", None) or node.tag == f"{_TAG}str":
        return text
    if text.lower() in _CONSTANTS:
        return _CONSTANTS[text.lower()]
    if _INTEGER.fullmatch(text):
        return int(text.replace("_", ""))
    if _FLOAT.fullmatch(text):
        return float(text.replace("_", ""))
    return text


class _Loader(yaml.SafeLoader):
    """Composes nodes; refuses what no nucleus takes as meant."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            problem = f"*{event.anchor} is an alias, which the nuclei do not follow alike: write it out"
            raise yaml.composer.ComposerError(None, None, problem, event.start_mark)
        node = super().compose_node(parent, index)
        if node is not None and node.tag.removeprefix(_TAG) not in _KINDS:
            raise yaml.composer.ComposerError(None, None, f"the tag {node.tag} is unknown", node.start_mark)
        return node


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _as_text(path: Path) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")
