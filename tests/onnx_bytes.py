"""ONNX files for tests, encoded by hand: the protobuf wire format, and the few messages of onnx.proto they need."""

from __future__ import annotations

import struct


def varint(number: int, *, length: int = 1) -> bytes:
    """At least so many bytes: a longer form than needed means the same."""
    encoded = b""
    while number > 0x7F or len(encoded) + 1 < length:
        encoded += bytes([number & 0x7F | 0x80])
        number >>= 7
    return encoded + bytes([number])


def field(number: int, value: int | str | bytes, *, length: int = 1) -> bytes:
    """A field; ``length`` is the least size of its varints."""
    if isinstance(value, int):
        return varint(number << 3, length=length) + varint(value, length=length)
    content = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2, length=length) + varint(len(content), length=length) + content


WEIGHTS = struct.pack("<4f", 1, 2, 3, 4)
_FLOAT, _EXTERNAL = 1, 1


def tensor(
    *, raw: bytes = WEIGHTS, location: str | None = None, key: str = "location", length: int = 1
) -> bytes:
    """``w``, four floats: its own, or those of another file."""
    shape = field(1, 4) + field(2, _FLOAT) + field(8, "w")
    if location is None:
        return shape + field(9, raw)
    entry = field(1, key, length=length) + field(2, location, length=length)
    return shape + field(13, entry, length=length) + field(14, _EXTERNAL)


def graph(nodes: bytes, initializers: bytes = b"") -> bytes:
    """From ``x`` to ``y``, four floats each."""
    shape = field(1, field(1, _FLOAT) + field(2, field(1, field(1, 4))))
    value = {name: field(1, name) + field(2, shape) for name in "xy"}
    return nodes + field(2, "graph") + initializers + field(11, value["x"]) + field(12, value["y"])


def model(content: bytes, functions: bytes = b"") -> bytes:
    """A model of this graph."""
    opsets = field(8, field(1, "") + field(2, 17)) + field(8, field(1, "local") + field(2, 1))
    return field(1, 8) + field(7, content) + opsets + functions


def add(left: str, right: str, output: str) -> bytes:
    """A node that adds."""
    return field(1, left) + field(1, right) + field(2, output) + field(4, "Add")


def constant(weights: bytes) -> bytes:
    """A node whose output is the tensor in its attribute."""
    attribute = field(1, "value") + field(20, 4) + field(5, weights)
    return field(2, "w") + field(4, "Constant") + field(5, attribute)


def in_initializer(weights: bytes) -> bytes:
    """A model that adds the tensor to its input."""
    return model(graph(field(1, add("x", "w", "y")), field(5, weights)))


def in_attribute(weights: bytes) -> bytes:
    """The same, the tensor in a node."""
    return model(graph(field(1, constant(weights)) + field(1, add("x", "w", "y"))))


def in_subgraph(weights: bytes) -> bytes:
    """The same, the tensor in both branches of an If."""
    identity = field(1, "w") + field(2, "b") + field(4, "Identity")
    branch = field(1, identity) + field(2, "branch") + field(5, weights) + field(12, field(1, "b"))
    branches = b"".join(
        field(5, field(1, name) + field(20, 5) + field(6, branch)) for name in ("then_branch", "else_branch")
    )
    choose = field(1, "yes") + field(2, "c") + field(4, "If") + branches
    yes = field(2, 9) + field(8, "yes") + field(9, b"\1")
    return model(graph(field(1, choose) + field(1, add("x", "c", "y")), field(5, yes)))


def in_function(weights: bytes) -> bytes:
    """The same, the tensor in a function of the model's own."""
    nodes = field(7, constant(weights)) + field(7, add("a", "w", "b"))
    opset = field(9, field(1, "") + field(2, 17))
    function = field(1, "AddWeights") + field(4, "a") + field(5, "b") + nodes + opset + field(10, "local")
    call = field(1, "x") + field(2, "y") + field(4, "AddWeights") + field(7, "local")
    return model(graph(field(1, call)), field(25, function))


PLACES = (in_initializer, in_attribute, in_subgraph, in_function)
