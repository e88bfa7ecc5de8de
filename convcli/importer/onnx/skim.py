"""An ONNX file without the numbers of its large weights, so that only what is looked at is decoded.

A message of protobuf is a row of fields: a key (8 * number + the kind of value), and a value; one of kind 2 is its
length and as many bytes. The numbers are those that onnx.proto gives the fields of ModelProto, GraphProto, TensorProto.
"""

from __future__ import annotations

from collections.abc import Iterator

GRAPH, INITIALIZER = 7, 5  # a model's graph, a graph's weights
NUMBERS = frozenset(
    {4, 5, 7, 9, 10, 11}
)  # of a tensor: float_data, int32_data, int64_data, raw_data, double_, uint64_data
LARGE = 1 << 16  # bytes
BYTES = 2  # the kind of value that has a length


def skimmed(data: bytes) -> bytes:
    """The same model; weights of more than 64 kB keep their names, types and shapes. What is no model is as it was."""
    if len(data) < LARGE:
        return data
    try:
        return b"".join(_without(memoryview(data), (GRAPH, INITIALIZER)))
    except (IndexError, ValueError):
        return data  # whoever decodes it says what is wrong


def _without(message: memoryview, path: tuple[int, ...]) -> Iterator[bytes]:
    """The message, the numbers of the tensors at the end of `path` left out where they are large."""
    start = 0
    for number, kind, value, end in _fields(message):
        size = end - value
        if kind != BYTES or size < LARGE or (path and number != path[0]):
            yield bytes(message[start:end])
        elif path:
            inner = b"".join(_without(message[value:end], path[1:]))
            yield _varint(8 * number + BYTES) + _varint(len(inner)) + inner
        elif number not in NUMBERS:
            yield bytes(message[start:end])
        start = end


def _fields(message: memoryview) -> Iterator[tuple[int, int, int, int]]:
    """(number, kind, where the value begins, where it ends) of every field. Raises ValueError for what is none."""
    at = 0
    while at < len(message):
        key, at = _read(message, at)
        number, kind = divmod(key, 8)
        begin = at
        if kind == 0:
            at = _read(message, at)[1]
        elif kind == BYTES:
            size, begin = _read(message, at)
            at = begin + size
        elif kind in {1, 5}:
            at += 8 if kind == 1 else 4
        else:
            raise ValueError("no field")
        if at > len(message):
            raise ValueError("a field that ends behind the message")
        yield number, kind, begin, at


def _read(message: memoryview, at: int) -> tuple[int, int]:
    """A number in groups of seven bits, the lowest first, and where it ends."""
    number = shift = 0
    while True:
        byte = message[at]
        number, at, shift = number | (byte & 0x7F) << shift, at + 1, shift + 7
        if byte < 0x80:
            return number, at
        if shift > 63:
            raise ValueError("no number")


def _varint(number: int) -> bytes:
    found = bytearray()
    while number >= 0x80:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])
