"""The reader of outside text: data or an error with its place, from any bytes, in bounded time and memory."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convcli.errors import Problem, SpecError
from convcli.spec.places import excerpt
from convcli.spec.text import decode, decode_lines, layer_lines, located, place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.errors import Path

FLOW = b"""\
# a comment with [ { & * in it
name: resnet-stem
input: [1, 3, 224, 224]
budget: {params: 10_000, macs: 120M}
layers:
  - {name: conv1, type: Conv2d, out_channels: 64, bias: false,
     expect: {output: [1, 64, 112, 112]}}
  # - a comment
  - Conv2d(64, 64, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))

  -
    name: "a & b * c [ {"
    type: ReLU
after:
  - 1
"""
FLOW_DATA = {
    "name": "resnet-stem",
    "input": [1, 3, 224, 224],
    "budget": {"params": 10000, "macs": "120M"},
    "layers": [
        {
            "name": "conv1",
            "type": "Conv2d",
            "out_channels": 64,
            "bias": False,
            "expect": {"output": [1, 64, 112, 112]},
        },
        "Conv2d(64, 64, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))",
        {"name": "a & b * c [ {", "type": "ReLU"},
    ],
    "after": [1],
}
ALIASED = b"""\
base: &base {type: Conv2d, groups: 2}
layers:
  - {<<: *base, name: a}
  - *base
  - <<: [*base, {stride: 3}]
    groups: 5
"""
JSON = b'{\n\t"layers": [\n\t\t{"type": "Conv2d", "groups": 2},\n\t\t{"type": "ReLU"}\n\t]\n}\n'
PRETTY = json.dumps(FLOW_DATA, indent=2).encode()


def problem_of(data: bytes, source: str) -> Problem:
    with pytest.raises(SpecError) as caught:
        decode(data, source)
    (problem,) = caught.value.problems
    assert problem.source == source
    return problem


# --- what comes out


def test_a_spec_is_read_as_written() -> None:
    assert decode(FLOW, "net.yaml") == FLOW_DATA


@pytest.mark.parametrize("source", ["net.json", "net.yaml", "-"])
def test_json_is_the_same_document(source: str) -> None:
    assert decode(PRETTY, source) == FLOW_DATA
    assert decode(b"\xef\xbb\xbf" + PRETTY, source) == FLOW_DATA


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("y", "y"),
        ("true", True),
        ("010", 10),
        ("0o10", 8),
        ("0x1F", 31),
        ("1:30", "1:30"),
        ("10_000", 10000),
        ("120M", "120M"),
        ("+5", 5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-.inf", -math.inf),
        ("~", None),
        ("", None),
        ("2024-01-01", "2024-01-01"),
        ("9007199254740993", 2**53 + 1),
        ("18446744073709551616", 2**64),
        ("-" + "9" * 40, 1 - 10**40),
        ("1" + "0" * 1000, 10**1000),
        ("!!str 12", "12"),
        ("{'<<': {b: 1}}", {"b": 1}),
    ],
)
def test_scalars_are_yaml_1_2(word: str, value: object) -> None:
    read = decode(f"a: {word}\n".encode(), "net.yaml")
    assert read == {"a": value}
    assert isinstance(read, dict)
    assert type(read["a"]) is type(value)


def test_json_integers_are_exact() -> None:
    assert decode(b"[%d]" % 10**40, "net.json") == [10**40]


def test_aliases_and_merge_keys() -> None:
    read = decode(ALIASED, "net.yaml")
    assert isinstance(read, dict)
    assert read["layers"] == [
        {"type": "Conv2d", "groups": 2, "name": "a"},
        {"type": "Conv2d", "groups": 2},
        {"type": "Conv2d", "groups": 5, "stride": 3},
    ]


@pytest.mark.parametrize(
    "text",
    [
        "- a\n- b\n...\n",
        "# c\n---\n- a\n- b\n",
        "\ufeff- a\n- b",
        "- a\r\n- b\r\n",
        "- a\r- b",
        "%YAML 1.2\n---\n- a\n- b",
    ],
)
def test_one_document_however_marked(text: str) -> None:
    assert decode(text.encode(), "net.yaml") == ["a", "b"]


def test_64_levels_are_allowed() -> None:
    for text in ("[" * 64 + "]" * 64, "- " * 64 + "1", "".join(" " * i + "a:\n" for i in range(64)) + " " * 64 + "1"):
        for _ in "yes":
            assert decode(text.encode(), "net.yaml")
    assert decode(b"[" * 64 + b"]" * 64, "net.json")


def test_long_text_is_not_taken_for_a_long_number_or_deep_nesting() -> None:
    text = "# " + "-" * 3000 + "\na: " + "word " * 3000 + "\nb: |\n" + " " * 200 + "x\n"
    assert decode(text.encode(), "net.yaml") == {"a": ("word " * 3000).strip(), "b": "x\n"}


# --- what is wrong, and where

TABLE = [
    # text, line, column, a part of the message
    (b"", 1, 1, "the file is empty"),
    (b" \n\t\n", 1, 1, "the file is empty"),
    (b"# only a comment\n", 1, 1, "the file is empty"),
    (b"---\n", 1, 1, "the file is empty"),
    (b"null\n", 1, 1, "the file is empty"),
    (b"a: 1\nb: \xc3\n", 2, 4, "not UTF-8: byte 0xc3 at byte offset 8"),
    (b"\xef\xbb\xbfa: \xff", 1, 4, "byte offset 6"),
    ("é: é\nü: ".encode() + b"\x80", 2, 4, "not UTF-8"),
    (b"\xff\xfea\0", 1, 1, "UTF-16"),
    (b"\xfe\xff\0a", 1, 1, "UTF-16"),
    (b"\xff\xfe\0\0a\0\0\0", 1, 1, "UTF-32"),
    (b"a: 1\nb: x\0y\n", 2, 5, "a control character, 0x00"),
    (b"a: \x1b[31m", 1, 4, "a control character, 0x1b"),
    (b"a:\n\tb: 1\n", 2, 2, "a tab cannot indent"),
    (b"a: 1\n\tb: 2\n", 2, 1, "a tab cannot indent"),
    (b"a: [1, 2\nb: 3\n", 1, 4, "the bracket opened here is not closed where line 2 begins"),
    (b"a: {b: 1\nc: 2\n", 1, 4, "the bracket opened here is not closed where line 2 begins"),
    (b'a: "x\nb: "y"\n', 1, 4, "the quote opened here is not closed where line 2 begins"),
    (b"a: [1, 2}\n", 1, 4, "mismatched bracket"),
    (b"a: {b: 1\n", 1, 4, "the bracket opened here is never closed"),
    (b"a: 1\nb: 'x\n", 2, 4, "the quote opened here is not closed"),
    (b"a: 1]\nb: ]\n", 2, 4, "bracket"),
    (b"a: b: c\n", 1, 5, "a key cannot stand here"),
    (b"a: 1\n b: 2\n", 2, 3, "a key cannot stand here"),
    (b"a: - b\n", 1, 4, "a list item cannot begin here"),
    (b"  a: 1\n b: 2\n", 2, 2, "this line is neither"),
    (b"a: 1\nb\n", 2, 1, "a line that is no `key: value`"),
    (b"a: *b\n", 1, 4, "no anchor"),
    (b"a: [1,,2]\n", 1, 7, "a comma"),
    (b"a: @x\n", 1, 4, "cannot begin with this character"),
    ("😀: 1\nü: }\n".encode(), 2, 4, "bracket"),
    (b"a: 1\nb: 2\na: 3\n", 3, 1, "the key 'a' stands twice in one mapping, first at 1:1"),
    (b"x: {a: 1, 'a': 2}\n", 1, 11, "the key 'a' stands twice in one mapping, first at 1:5"),
    (b"x:\n  - a: 1\n    b: 1\n  - a: 2\n    a: 3\n", 5, 5, "first at 4:5"),
    (b"a: 1\n---\nb: 2\n", 2, 1, "a second document"),
    (b"--- a\n--- b\n", 2, 1, "a second document"),
    (b"- 1\n...\nb: 2\n", 2, 1, "a second document"),
    (b"- 1\n---\n- 2\n", 2, 1, "a second document"),
    (b"a: 1\nb: {1: 2}\n", 2, 5, "a key must be a text, this one is a number"),
    (b"a: 1\ntrue: 2\n", 2, 1, "this one is true or false"),
    (b"a: 1\n? [1, 2]\n: 3\n", 2, 3, "a list or a mapping"),
    (b"a: 1\n? {b: 1}\n: 3\n", 2, 3, "a list or a mapping"),
    (b"x: {[{b: 1}]: 2}\n", 1, 5, "a list or a mapping"),
    (b"a: 1\n-    : b\n", 2, 6, "a key is missing here, or stands in the wrong column"),
    (b"-    : b\n", 1, 6, "this one is empty"),
    (b"!!set {? [{a: 1}]}\n", 1, 1, "the tag !!set"),
    (b"a: &a\n  - b: [*a]\n", 2, 9, "stands inside what it is an alias of"),
    (b"a: 1\nb: {<<: 3}\n", 2, 9, "`<<` merges a mapping"),
    (b"a: 1\nb: !!python/object/apply:os.system [ls]\n", 2, 4, "the tag !!python/object/apply:os.system means nothing"),
    (b"a: 1\n--- !!set {a, b}\n", 2, 1, "a second document"),
    (b"x: !!set {a, b}\n", 1, 4, "the tag !!set"),
    (b"x: !foo 12\n", 1, 4, "the tag !foo"),
    (b"x: {y: !!python/name:os.system ''}\n", 1, 8, "the tag !!python/name:os.system"),
    (b"a: 1\nb: " + b"1" * 5000, 2, 4, "a number of 5000 digits"),
    (b"[" * 65 + b"]" * 65, 1, 65, "nested too deeply"),
    (b"- " * 65 + b"1", 1, 129, "nested too deeply"),
    (b"a: 1\n" + b" " * 300 + b"b", 2, 256, "too deeply"),
]
JSON_TABLE = [
    (b"", 1, 1, "the file is empty"),
    (b'{"a": 1,\n "b": tru}', 2, 11, "not JSON"),
    (b'{"a": 1,\n "a": 2}', 2, 2, "the key 'a' stands twice in one mapping, first at 1:2"),
    (b'{"a": "\\":", "b": {"c": 1, "\\u0063" : 2}}', 1, 28, "the key 'c' stands twice"),
    (b'{"a": [1,\n 2', 1, 7, "what begins here never ends"),
    (b'{"a": NaN}', 1, 7, "not JSON"),
    (b'{"a": 1,}', 1, 9, "not JSON"),
    ('{"é": 1,\n "ü": ü}'.encode(), 2, 7, "not JSON"),
    (b"{}\n{}", 2, 1, "trailing"),
    (b"[" * 65 + b"]" * 65, 1, 65, "nested too deeply"),
    (b"[" * 100000, 1, 65, "nested too deeply"),
    (b"[" + b"1" * 5000 + b"]", 1, 2, "a number of 5000 digits"),
]


@pytest.mark.parametrize(("data", "line", "column", "part"), TABLE, ids=[repr(row[0][:40]) for row in TABLE])
def test_yaml_errors_have_their_place(data: bytes, line: int, column: int, part: str) -> None:
    problem = problem_of(data, "net.yaml")
    assert (problem.line, problem.column) == (line, column)
    assert part in problem.message


@given(st.integers(0, 300), st.sampled_from(list("0123456789abcdefABCDEF_")))
def test_a_number_of_two_thousand_digits_is_found_wherever_it_begins(before: int, digit: str) -> None:
    start = b"- " * 2 + b"x" * before + b"z: "
    assert "a number of 2000 digits" in problem_of(start + digit.encode() * 2000 + b"\n", "net.yaml").message
    decode(start + digit.encode() * 1999 + b"z\n", "net.yaml")


@pytest.mark.parametrize(("data", "line", "column", "part"), JSON_TABLE, ids=[repr(row[0][:40]) for row in JSON_TABLE])
def test_json_errors_have_their_place(data: bytes, line: int, column: int, part: str) -> None:
    problem = problem_of(data, "net.json")
    assert (problem.line, problem.column) == (line, column)
    assert part in problem.message


def test_an_error_shows_its_line() -> None:
    assert problem_of(b"a: 1\nb: [2\n", "net.yaml").excerpt == "b: [2"
    assert problem_of(b"a: \x1b[31m", "net.yaml").excerpt == "a: \N{REPLACEMENT CHARACTER}[31m"


@pytest.mark.parametrize("column", [1, 2, 60, 61, 500, 940, 999, 1000])
def test_a_long_line_is_cut_around_the_column(column: int) -> None:
    line = "".join(chr(0x4E00 + i) for i in range(1000))
    shown, caret = excerpt(line, column)
    assert len(shown) <= 122
    assert shown[caret - 1] == line[column - 1]


# --- JSON lines


def test_lines_are_streamed_with_their_numbers() -> None:
    def lines() -> Iterator[bytes]:
        yield b'\xef\xbb\xbf{"a": 1}\n'
        yield b" \r\n"
        yield b'{"b": {"c": [2]}, "d": "x: y"}'
        raise AssertionError("read too far")

    stream = decode_lines(lines(), "a.jsonl")
    assert next(stream) == (1, {"a": 1})
    assert next(stream) == (3, {"b": {"c": [2]}, "d": "x: y"})


@pytest.mark.parametrize(
    ("line", "column", "part"),
    [
        (b'{"a": 1, "a": 2}', 10, "twice"),
        (b'{"a": {"b": 1, "b": 2}}', 16, "twice"),
        (b'{"a": {}, "b": [{"c": 1, "c": 2}]}', 26, "twice"),
        (b'{"a" :1, "a": ":"}', 10, "twice"),
        (b'{"a": 1', 1, "never ends"),
        (b'{"a": \xff}', 7, "not UTF-8"),
        (b"[" * 70 + b"]" * 70, 65, "too deeply"),
        (b'{"a":' * 70 + b"1" + b"}" * 70, 321, "too deeply"),
        (b"[" * 100000, 65, "too deeply"),
    ],
)
def test_a_wrong_line_is_named(line: bytes, column: int, part: str) -> None:
    stream = decode_lines([b"{}\n", b"\n", line + b"\n"], "a.jsonl")
    assert next(stream) == (1, {})
    with pytest.raises(SpecError) as caught:
        next(stream)
    (problem,) = caught.value.problems
    assert (problem.source, problem.line, problem.column) == ("a.jsonl", 3, column)
    assert part in problem.message


def test_lines_are_fast() -> None:
    line = json.dumps({"type": "Conv2d", "out_channels": 64, "kernel_size": 3, "input": [1, 64, 56, 56]}).encode()
    lines = [line.replace(b"64", str(i).encode(), 1) for i in range(100_000)]
    begin = time.process_time()
    assert sum(1 for _ in decode_lines(lines, "a.jsonl")) == 100_000
    assert time.process_time() - begin < 2  # 0.13 s; the rest is for slow machines and coverage


# --- places


@pytest.mark.parametrize(
    ("data", "path", "value", "key"),
    [
        (FLOW, (), (2, 1), (2, 1)),
        (FLOW, ("input", 2), (3, 15), (3, 15)),
        (FLOW, ("layers", 0, "out_channels"), (6, 47), (6, 33)),
        (FLOW, ("layers", 0, "expect", "output", 1), (7, 27), (7, 27)),
        (FLOW, ("layers", 1), (9, 5), (9, 5)),
        (FLOW, ("layers", 2, "type"), (13, 11), (13, 5)),
        (FLOW, ("layers", 2, "nothing", 3), (12, 5), (12, 5)),
        (FLOW, ("layers", 9), (6, 3), (5, 1)),
        (FLOW, ("nothing",), (2, 1), (2, 1)),
        (ALIASED, ("layers", 0, "groups"), (1, 36), (1, 28)),
        (ALIASED, ("layers", 1, "groups"), (1, 36), (1, 28)),
        (ALIASED, ("layers", 2, "groups"), (6, 13), (6, 5)),
        (JSON, ("layers", 0, "groups"), (3, 32), (3, 22)),
        (JSON, ("layers", 1), (4, 3), (4, 3)),
        (b"- {a: 1}\n- {a: 2}\n", ("layers", 1, "a"), (2, 7), (2, 4)),
        ("é: ['😀', [x, y]]".encode(), ("é", 1, 1), (1, 14), (1, 14)),
        (b"\xef\xbb\xbfa: 1", ("a",), (1, 4), (1, 1)),
        ("a: x\u2028y\x85z\nb: 1\n".encode(), ("b",), (2, 4), (2, 1)),
        (b"? [1, [2]]\n: 3\nb: {c: 4}\n", ("b", "c"), (3, 8), (3, 5)),
        (b"a: &a [*a]\n", ("a", 0, 0, 0, 0, 0), (1, 8), (1, 8)),
        (b"a: 1\n---\na: 2\nb: 3\n", ("b",), (1, 1), (1, 1)),
        (b"", ("a",), (0, 0), (0, 0)),
    ],
)
def test_values_and_keys_have_a_place(data: bytes, path: Path, value: tuple[int, int], key: tuple[int, int]) -> None:
    assert place(data, path) == value
    assert place(data, path, key=True) == key


def test_json_on_one_line_has_places() -> None:
    data = b'{"a\\n": [1, {"b": "]"}], "c": 2}'
    assert place(data, ("a\n", 1, "b"), "json") == (1, 19)
    assert place(data, ("c",), "json", key=True) == (1, 26)


def test_an_error_is_located_by_its_paths() -> None:
    problems = (
        Problem("bad", ("layers", 0, "type")),
        Problem("worse", ("layers", 2, "name")),
        Problem("done", ("name",), source="other", line=7, column=8),
    )
    found = located(SpecError(problems=problems), FLOW, "net.yaml").problems
    assert [(p.source, p.line, p.column) for p in found] == [("net.yaml", 6, 25), ("net.yaml", 12, 11), ("other", 7, 8)]
    assert found[0].excerpt == FLOW.decode().splitlines()[5]
    assert [p.message for p in found] == ["bad", "worse", "done"]


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (FLOW, [6, 9, 11]),
        (FLOW.replace(b"\n", b"\r\n"), [6, 9, 11]),
        (FLOW.replace(b"\n", b"\r"), [6, 9, 12]),
        (PRETTY, [14, 28, 29]),
        (json.dumps(FLOW_DATA).encode(), [1, 1, 1]),
        (json.dumps(FLOW_DATA, indent=0).encode(), [14, 28, 29]),
        (json.dumps(FLOW_DATA["layers"], indent=1).encode(), [2, 16, 17]),
        (b"# c\n---\n- a\n\n# - b\n- c\n-\n  d: 1\n", [3, 6, 7]),
        (b"\xef\xbb\xbf- a\n- b\n- |\n  - x\n", [1, 2, 3]),
        (b"layers:\n- a\n# x\n- b: |\n   - c\n  d:\n  - e\n- f\nnext:\n- g\n", [2, 4, 8]),
        (b"layers: [a, b,\n  c]\n", [1, 1, 2]),
        (b"x: &x\n  - a\n  - b\n  - c\nlayers: *x\n", [2, 3, 4]),
        (b"other:\n  layers:\n   - 1\nlayers:   # here\n\n   - 1\n   - 2\n   - 3\n", [6, 7, 8]),
        (JSON, [3, 4]),
    ],
)
def test_layers_have_their_lines(data: bytes, lines: list[int]) -> None:
    assert layer_lines(data, len(lines)) == lines


def test_lines_that_cannot_be_told_are_zeros() -> None:
    assert layer_lines(b"layers:\n  - 1\n  - 2\n", 3) == [0, 0, 0]


# --- any bytes at all


def outcome(data: bytes, source: str) -> object:
    """The data, or None after checking that the error can be shown."""
    try:
        return decode(data, source)
    except SpecError as error:
        caught = error
    assert str(caught)
    for problem in caught.problems:
        assert problem.message
        assert problem.source == source
        assert problem.line >= 1
        assert problem.column >= 1
        assert problem.excerpt.isprintable()
    return None


VALID = (FLOW, ALIASED, JSON, PRETTY, b"- {a: [1, {b: 'c'}]}\n- |\n  x\n- - 1\n  - ? a\n    : b\n")


PIECES = (b"\t", b"\n", b"- ", b"&base ", b"*base", b"? ", b"<<: ", b"'", b"!a ")


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A valid spec with slices deleted, doubled and replaced."""
    data = draw(st.sampled_from(VALID))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(len(data), start + 12)))
        new = draw(st.sampled_from([b"", data[start:end] * 2, *PIECES]) | st.binary(max_size=3))
        data = data[:start] + new + data[end:]
    return data


BROKEN = st.binary(max_size=80) | mutated() | st.text("ab-?:[]{}&*!|>'\"#, \n\t", max_size=40).map(str.encode)
PATHS = st.lists(st.integers(0, 3) | st.sampled_from(["layers", "base", "groups", "a", "<<"]), max_size=5).map(tuple)


@settings(max_examples=300, deadline=None)
@given(BROKEN, st.sampled_from(["x.yaml", "x.json", "-"]))
def test_any_bytes_are_data_or_an_error(data: bytes, source: str) -> None:
    value = outcome(data, source)
    assert value is None or msgspec.json.encode(value)


@settings(max_examples=200, deadline=None)
@given(BROKEN, PATHS, st.sampled_from(["", "json", "yaml"]), st.booleans())
def test_place_never_fails(data: bytes, path: Path, form: str, key: bool) -> None:
    line, column = place(data, path, form, key=key)
    assert (line, column) == (0, 0) or (line >= 1 and column >= 1)
    assert len(layer_lines(data, 3, form)) == 3


@settings(max_examples=100, deadline=None)
@given(st.lists(BROKEN, max_size=3))
def test_any_lines_are_data_or_an_error(lines: list[bytes]) -> None:
    numbers: list[int] = []
    with suppress(SpecError):
        numbers.extend(number for number, _ in decode_lines(lines, "x.jsonl"))
    assert numbers == sorted(set(numbers) & set(range(1, len(lines) + 1)))


KEYS = st.text(max_size=3).filter(lambda key: key != "<<")
TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)


def leaves(tree: object, path: Path = ()) -> Iterator[Path]:
    yield path
    for step, inner in tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ():
        yield from leaves(inner, (*path, step))


@settings(max_examples=200, deadline=None)
@given(TREES.filter(lambda tree: tree is not None), st.sampled_from([None, 1]), st.booleans())
def test_what_stands_at_a_place_is_the_value(tree: object, indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(tree, indent=indent, ensure_ascii=ascii_only)
    data = text.encode()
    assert decode(data, "x.json") == tree
    for path in leaves(tree):
        line, column = place(data, path, "json")
        value = tree
        for step in path:
            value = value[step]  # type: ignore[index]
        rest = "\n".join([text.split("\n")[line - 1][column - 1 :], *text.split("\n")[line:]])
        assert json.JSONDecoder().raw_decode(rest)[0] == value


# --- hostile texts, each in a process of its own: a crash is a failed test

ATTACK = """
import sys
try:
    import resource
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    resource.setrlimit(resource.RLIMIT_CPU, (30, 30))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
except ImportError:
    pass
from convcli.errors import SpecError
from convcli.spec.text import decode, layer_lines, place
data = eval(sys.argv[1])
for source in ("x.yaml", "x.json"):
    try:
        decode(data, source)
        print("data")
    except SpecError as error:
        print("error", error.problems[0].message[:80].replace("\\n", " "))
    assert min(place(data, ("a", 0, "layers", 1), source[2:])) >= 0
    layer_lines(data, 5, source[2:])
"""
BOMB = (
    'b"a0: &a0 [1,1,1,1,1,1,1,1,1,1]\\n" + '
    'b"".join(b"a%d: &a%d [%s]\\n" % (i, i, b",".join([b"*a%d" % (i - 1)] * 10)) for i in range(1, 12))'
)
OPENINGS = (b"[", b"{a: ", b'{"a":', b"- ", b"? ", b": ", b"[{a: ", b"-\t", b"- ? ", b"[? ")
ATTACKS = [
    *(f"{opening!r} * 100000" for opening in OPENINGS),
    'b"a: " + b"- " * 100000',
    'b"\\xef\\xbb\\xbf" + b"- " * 100000',
    'b"a: 1\\r" + b"- " * 100000',
    'b"- a\\n---\\n\\xef\\xbb\\xbf" + b"- " * 100000',
    'b"a\\n...\\n\\xef\\xbb\\xbf" + b"- " * 100000',
    'b"--- " + b"- " * 100000',
    'b"- &a !!seq " * 100000',
    'b"[" * 100000 + b"]" * 100000',
    'b"".join(b" " * i + b"a:\\n" for i in range(3000))',
    'b"".join(b" " * i + b"-\\n" for i in range(3000))',
    BOMB,
    'b"a0: &a0 {x: 1}\\n" + b"".join(b"a%d: &a%d {p: *a%d, q: *a%d}\\n" % (i, i, i - 1, i - 1) for i in range(1, 40))',
    'b"a0: &a0 {x: 1}\\n" + b"".join(b"a%d: &a%d {<<: [*a%d, *a%d]}\\n" % (i, i, i - 1, i - 1) for i in range(1, 40))',
    'b"&a [*a, *a]"',
    'b"a: " + b"1" * 5000000',
    'b"a: 0x" + b"f" * 5000000',
    'b"a: " + b"1_" * 2000000',
    'b"[" + b"1" * 5000000 + b"]"',
    'b"a: \\"" + b"x" * 5000000',
    'b"a: 1\\n" * 100000',
    'b"---\\n" * 100000',
]


def ran(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", *arguments], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("attack", ATTACKS, ids=[attack[:50] for attack in ATTACKS])
def test_no_text_crashes_or_hangs(attack: str) -> None:
    done = ran(ATTACK, attack)
    assert done.returncode == 0, f"{done.returncode}: {done.stderr[-500:]}"
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["error", "error"]


def test_10_megabytes_of_noise_are_refused_at_once() -> None:
    noise = (os.urandom(10_000_000), os.urandom(5_000_000).hex().encode(), bytes(range(32, 127)) * 100_000)
    begin = time.process_time()
    for data in noise:
        for source in ("x.yaml", "x.json"):
            assert outcome(data, source) is None
    assert time.process_time() - begin < 2 * 2 * len(noise)


@pytest.mark.parametrize(
    ("text", "source", "imported"),
    [("{}", "x.json", "set()"), ("{}", "-", "set()"), ("a: [1]", "x.yaml", "{'yaml_rs'}")],
)
def test_a_good_file_imports_no_more_than_it_needs(text: str, source: str, imported: str) -> None:
    program = "import sys; from convcli.spec.text import decode; decode(sys.argv[1].encode(), sys.argv[2]); "
    done = ran(program + "print({'yaml', 'yaml_rs', 'json'} & set(sys.modules))", text, source)
    assert done.stdout == f"{imported}\n", done.stderr
