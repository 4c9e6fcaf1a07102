"""Pickled dictionaries of arrays, lists, texts and numbers, as data and nothing else: no code of a file ever runs.

The opcodes are read by `pickletools`, which only takes them apart; what they say is carried out here on a list that
stands for pickle's stack. Of the names that a pickle may call, the few by which NumPy writes arrays are known here as
words; their arguments are checked, and NumPy is given bytes, a number type and a shape. Any other name is refused.

Python 2 texts (CIFAR is written by Python 2) are bytes.
"""

from __future__ import annotations

import io
import math
import pickletools
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from striate.errors import InputError
from striate.words import in_short

# (module, name) as different versions of NumPy and Python write them -> what is meant
KNOWN = {
    ("numpy.core.multiarray", "_reconstruct"): "array",
    ("numpy._core.multiarray", "_reconstruct"): "array",
    ("numpy.core.numeric", "_frombuffer"): "buffer",
    ("numpy._core.numeric", "_frombuffer"): "buffer",
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): "dtype",
    ("_codecs", "encode"): "encode",
    ("__builtin__", "bytes"): "nothing",  # b"" in the older protocols
}
NUMBER_TYPE = re.compile(r"[biuf][1248]")
CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_TUPLE": tuple,
}
PLAIN = frozenset(
    {"BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"}
    | {"UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"}
)
TEXTS_OF_PYTHON_2 = frozenset({"STRING", "BINSTRING", "SHORT_BINSTRING"})
MEMO_PUT = frozenset({"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"})
MEMO_GET = frozenset({"GET", "BINGET", "LONG_BINGET"})


@dataclass(frozen=True)
class _Name:
    """A name that a pickle may call: one of the values of `KNOWN`."""

    meaning: str


@dataclass
class _Type:
    """A number type on its way: its order of bytes comes after it."""

    code: str
    order: str = "="


@dataclass
class _Array:
    """An array on its way: what is in it comes after it."""

    values: np.ndarray | None = None


class _Mark:
    """Where the items of a list or tuple begin on the stack."""


def read_pickled(data: bytes) -> dict[str, Any]:
    """The dictionary that a pickle holds: its values are arrays, bytes, texts, numbers, lists and dictionaries.

    Raises InputError (the reason alone) where it is no such pickle, or asks for anything else.
    """
    try:
        # Python deprecates escapes that are none, and no pickler writes them.
        with warnings.catch_warnings(action="error", category=DeprecationWarning):
            found = _Machine().run(data)
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, StopIteration, DeprecationWarning) as error:
        raise InputError(f"no pickled arrays: damaged or cut short ({in_short(error, 100)})") from None
    if not isinstance(found, dict):
        raise InputError(f"a pickle of a {type(found).__name__}, where a dictionary of arrays is needed")
    return {_text(key): plain(value) for key, value in found.items()}


def plain(value: Any) -> Any:
    """A value with its array in place."""
    if isinstance(value, _Array):
        if value.values is None:
            raise InputError("no pickled arrays: an array without content")
        return value.values
    return value


class _Machine:
    """Carries opcodes out, one after another."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, data: bytes) -> Any:
        for code, argument, _ in pickletools.genops(io.BytesIO(data)):
            if code.name == "STOP":
                return self.stack.pop()
            self.step(code.name, argument)
        raise ValueError("no end")

    def step(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name in ("PROTO", "FRAME"):
            return
        if name in PLAIN:
            stack.append(argument)
        elif name in TEXTS_OF_PYTHON_2:
            stack.append(argument.encode("latin-1"))
        elif name in CONSTANTS:
            stack.append(CONSTANTS[name]())
        elif name in MEMO_PUT:
            self.memo[len(self.memo) if name == "MEMOIZE" else argument] = stack[-1]
        elif name in MEMO_GET:
            stack.append(self.memo[argument])
        elif name == "MARK":
            stack.append(_Mark)
        else:
            carry_out = STEPS.get(name)
            if carry_out is None:
                raise InputError(f"a pickle with {name}, which no set of arrays needs; nothing of it was run")
            carry_out(self, argument)

    def since_mark(self) -> list[Any]:
        """What was put on the stack since the last mark, taken off together with it."""
        at = next(place for place in range(len(self.stack) - 1, -1, -1) if self.stack[place] is _Mark)
        items = self.stack[at + 1 :]
        del self.stack[at:]
        return items


def _global(machine: _Machine, argument: Any) -> None:
    module, _, name = argument.partition(" ")
    _named(machine, module, name)


def _stack_global(machine: _Machine, _: Any) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    _named(machine, str(module), str(name))


def _named(machine: _Machine, module: str, name: str) -> None:
    meaning = KNOWN.get((module, name))
    if meaning is None:
        raise InputError(
            f"a pickle that asks for {module[:60]}.{name[:60]}; only arrays, lists, texts and numbers are read, and "
            "nothing of it was run"
        )
    machine.stack.append(_Name(meaning))


def _reduce(machine: _Machine, _: Any) -> None:
    arguments, called = machine.stack.pop(), machine.stack.pop()
    if not isinstance(called, _Name) or not isinstance(arguments, tuple):
        raise ValueError("a call of what is no function")
    machine.stack.append(CALLS[called.meaning](*arguments))


def _build(machine: _Machine, _: Any) -> None:
    state, made = machine.stack.pop(), machine.stack[-1]
    if isinstance(made, _Type) and isinstance(state, tuple) and len(state) >= 5:
        made.order = _text(state[1])
        if made.order not in ("<", ">", "|", "=") or any(part is not None for part in state[2:5]):
            raise ValueError("a number type with fields")
    elif isinstance(made, _Array) and isinstance(state, tuple) and len(state) in (4, 5):
        shape, kind, by_column, raw = state[-4:]
        made.values = _values(raw, kind, shape, "F" if by_column else "C")
    else:
        raise ValueError("content for what takes none")


def _values(raw: Any, kind: Any, shape: Any, order: str) -> np.ndarray:
    if not isinstance(raw, (bytes, bytearray)) or not isinstance(kind, _Type):
        raise InputError("a pickle of an array of objects; only arrays of numbers are read, and nothing of it was run")
    if not isinstance(shape, tuple) or not all(type(side) is int and side >= 0 for side in shape) or len(shape) > 8:
        raise ValueError("an array without a shape")
    number_type = np.dtype(f"{kind.order}{kind.code}")
    if math.prod(shape) * number_type.itemsize != len(raw):
        raise InputError(f"a pickled array of {' x '.join(map(str, shape))} in {len(raw):,} bytes, which cannot be")
    values: np.ndarray = np.frombuffer(raw, dtype=number_type).reshape(shape, order="F" if order == "F" else "C")
    return values.astype(number_type.newbyteorder("="), copy=False)


def _new_array(kind: Any, shape: Any, code: Any) -> _Array:
    if kind != _Name("ndarray"):
        raise ValueError("an array of another kind")
    return _Array()


def _new_type(code: Any, *_: Any) -> _Type:
    text = _text(code).lstrip("|")
    if not NUMBER_TYPE.fullmatch(text):
        raise InputError(f"a pickle of an array of '{text[:20]}'; only arrays of numbers are read")
    return _Type(text)


def _encoded(text: Any, encoding: Any) -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise ValueError("bytes in another encoding")
    return text.encode("latin-1")


def _from_buffer(raw: Any, kind: Any, shape: Any, order: Any) -> _Array:
    return _Array(_values(raw, kind, shape, str(order)))


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if not isinstance(value, (str, int)):
        raise ValueError(f"a {type(value).__name__} where a text is needed")
    return str(value)


def _set_items(machine: _Machine, items: list[Any]) -> None:
    into = machine.stack[-1]
    if not isinstance(into, dict) or len(items) % 2:
        raise ValueError("items of what is no dictionary")
    for key, value in zip(items[::2], items[1::2], strict=True):
        if not isinstance(key, (str, bytes, int)):
            raise ValueError("a key that is no text")
        into[key] = plain(value) if isinstance(value, _Array) and value.values is not None else value


def _append(machine: _Machine, items: list[Any]) -> None:
    into = machine.stack[-1]
    if not isinstance(into, list):
        raise ValueError("items of what is no list")
    into.extend(items)


def _dictionary(machine: _Machine, _: Any) -> None:
    items = machine.since_mark()
    machine.stack.append({})
    _set_items(machine, items)


def _taken(machine: _Machine, count: int) -> list[Any]:
    items = machine.stack[len(machine.stack) - count :]
    if len(items) < count:
        raise ValueError("nothing is there to take")
    del machine.stack[len(machine.stack) - count :]
    return items


STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "GLOBAL": _global,
    "STACK_GLOBAL": _stack_global,
    "REDUCE": _reduce,
    "BUILD": _build,
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.since_mark())),
    "TUPLE1": lambda machine, _: machine.stack.append(tuple(_taken(machine, 1))),
    "TUPLE2": lambda machine, _: machine.stack.append(tuple(_taken(machine, 2))),
    "TUPLE3": lambda machine, _: machine.stack.append(tuple(_taken(machine, 3))),
    "LIST": lambda machine, _: machine.stack.append(machine.since_mark()),
    "DICT": _dictionary,
    "APPEND": lambda machine, _: _append(machine, _taken(machine, 1)),
    "APPENDS": lambda machine, _: _append(machine, machine.since_mark()),
    "SETITEM": lambda machine, _: _set_items(machine, _taken(machine, 2)),
    "SETITEMS": lambda machine, _: _set_items(machine, machine.since_mark()),
    "BYTEARRAY8": lambda machine, argument: machine.stack.append(bytes(argument)),
}
CALLS: dict[str, Callable[..., Any]] = {
    "array": _new_array,
    "buffer": _from_buffer,
    "dtype": _new_type,
    "encode": _encoded,
    "nothing": lambda: b"",
}
