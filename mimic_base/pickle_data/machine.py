"""The interpreter of pickle opcodes: plain data in, plain data out.

Opcodes and their meaning are those of protocols 0 to 5 (the module `pickletools` of Python's
library describes each). Not there, and refused: classes and instances (INST, OBJ, NEWOBJ with
anything but the classes below), extension codes, buffers outside the file.
"""

from __future__ import annotations

import codecs
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mimic_base.limits import check_growth, limit, over_limit

_INT_BITS = 64
"""Whole numbers of motions fit into these."""
_DIGITS = 20
_KEY_TYPES = frozenset((str, int, float, bool, bytes, type(None)))
_FLOAT = struct.Struct(">d").unpack_from
_UINT16 = struct.Struct("<H").unpack_from
_INT32 = struct.Struct("<i").unpack_from
_UINT32 = struct.Struct("<I").unpack_from
_UINT64 = struct.Struct("<Q").unpack_from
_LIST, _DICT, _SET, _TUPLE = 80, 88, 240, 72
"""Bytes of an empty container (a tuple of one) with its place on the stack, CPython on 64 bits."""
_HELD = 1 << 20
"""Bytes of containers that are accounted for together."""
_RUN = 128
"""Floats that are read at once where they follow each other."""
_RUNS = [">" + "xd" * count for count in range(_RUN + 1)]


class Refused(Exception):
    """The file asks for something that is not plain data."""


class Name:
    """A name in the file (``module.name``) that the interpreter knows: what calling it makes."""

    __slots__ = ("call", "name", "new")

    def __init__(self, name: str, call: Callable[..., Any], *, new: bool = False) -> None:
        self.name, self.call, self.new = name, call, new
        # new: whether the opcode for a new object of a class may call it too.


class Stateful:
    """A thing that the opcode BUILD may give a state."""

    __slots__ = ()

    def finish(self, machine: Machine, state: Any) -> Any:
        """The thing with its state; it takes the place of this one."""
        raise NotImplementedError


class Unfinished(Stateful):
    """A thing that is nothing without its state, and may not be used before it has it."""

    __slots__ = ("kept",)

    def __init__(self) -> None:
        self.kept: list[int] = []
        """Places of the memo that hold it."""


class Machine:
    """Runs one pickle.

    Args:
        path: the file, for errors.
        data: the bytes. at: where the pickle begins in them.
        names: what the file may name: ``"module name"`` -> what it stands for.
        storage: makes what a persistent id stands for (PyTorch archives); None refuses them.
        size: bytes that the file has on disk, which decide how much may come out of it.
    """

    def __init__(
        self,
        path: Path,
        data: bytes,
        names: Mapping[str, Name],
        *,
        at: int = 0,
        storage: Callable[[Any], Any] | None = None,
        size: int | None = None,
    ) -> None:
        self.path = path
        self.data = data
        self.at = at
        self.names = names
        self.storage = storage
        self.size = len(data) if size is None else size
        self.stack: list[Any] = []
        self.outer: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.nested = False
        self._made = 0
        self._held = 0
        self._left = limit("items")
        self._text = limit("text")

    # -- for the things that are built ----------------------------------------------------------

    def charge(self, count: int) -> None:
        """Account for `count` bytes that are about to be made and are not in the file as such."""
        self._made += count
        check_growth(self.path, self._made, self.size, "the pickle's content")

    def take(self, count: int) -> bytes:
        """The next `count` bytes of the file."""
        end = self.at + count
        if count < 0 or end > len(self.data):
            raise EOFError(f"{count} bytes are announced, {len(self.data) - self.at} are there")
        part = self.data[self.at : end]
        self.at = end
        return part

    def run_inner(self) -> Any:
        """The content of a pickle that stands between the opcodes of this one."""
        if self.nested:
            raise Refused("a pickle inside a pickle inside a pickle")
        kept = self.stack, self.outer, self.memo
        self.stack, self.outer, self.memo, self.nested = [], [], {}, True
        try:
            return self.run()
        finally:
            self.stack, self.outer, self.memo = kept
            self.nested = False

    # -- the loop -------------------------------------------------------------------------------

    def run(self) -> Any:
        """Run until STOP; what then lies on the stack, not yet checked (see `check`)."""
        data, dispatch, size = self.data, _DISPATCH, len(self.data)
        # An opcode takes a byte at least: a short file needs no counting.
        counted = size - self.at > self._left
        while (at := self.at) < size:
            code = data[at]
            self.at = at + 1
            if counted:
                self._left -= 1
                if self._left < 0:
                    raise over_limit(self.path, "items", None, "the number of values in the pickle")
            if code == 46:  # STOP
                return self.stack.pop()
            action = dispatch[code]
            if action is None:
                raise ValueError(f"{bytes([code])!r} at byte {at} is no opcode")
            action(self)
        raise EOFError("the pickle has no end")

    def line(self) -> bytes:
        end = self.data.find(b"\n", self.at)
        if end < 0:
            raise EOFError("a line has no end")
        if end - self.at > self._text:
            raise over_limit(self.path, "text", end - self.at, "the length of a text")
        part = self.data[self.at : end]
        self.at = end + 1
        return part

    def mark(self) -> None:
        self.outer.append(self.stack)
        self.stack = []

    def marked(self) -> list[Any]:
        """What lies above the last mark, which is taken away."""
        items = self.stack
        self.stack = self.outer.pop()
        return items

    # -- numbers and texts ----------------------------------------------------------------------

    def frame(self) -> None:
        (count,) = _UINT64(self.take(8))
        if count > len(self.data) - self.at:
            raise EOFError(f"a frame of {count} bytes, {len(self.data) - self.at} are there")

    def protocol(self) -> None:
        version = self.take(1)[0]
        if version > 5:
            raise ValueError(f"protocol {version} is unknown")

    def floats(self) -> None:
        """A float, and all that follow it directly: most of a file of lists."""
        data, at = self.data, self.at - 1
        if data[at + 9 : at + 10] != b"G":
            self.stack.append(_FLOAT(self.take(8))[0])
            return
        ops = data[at : at + 9 * _RUN : 9]
        count = len(ops) - len(ops.lstrip(b"G"))
        if at + 9 * count > len(data):
            count -= 1
        self._left -= count - 1  # matters only where opcodes are counted
        self.at = at + 9 * count
        self.stack.extend(struct.unpack_from(_RUNS[count], data, at))

    def float_line(self) -> None:
        self.stack.append(float(self.line()))

    def int_line(self) -> None:
        text = self.line()
        if text in (b"00", b"01"):
            self.stack.append(text == b"01")
        else:
            self.stack.append(_whole(text))

    def long_line(self) -> None:
        self.stack.append(_whole(self.line().removesuffix(b"L")))

    def long1(self) -> None:
        self._long(self.take(1)[0])

    def long4(self) -> None:
        self._long(_INT32(self.take(4))[0])

    def _long(self, count: int) -> None:
        value = int.from_bytes(self.take(count), "little", signed=True) if count <= 9 else None
        if value is None or value.bit_length() > _INT_BITS:
            raise Refused(f"a whole number of more than {_INT_BITS} bits")
        self.stack.append(value)

    def uint8(self) -> None:
        self.stack.append(self.data[self.at])
        self.at += 1

    def uint16(self) -> None:
        self.stack.append(_UINT16(self.take(2))[0])

    def int32(self) -> None:
        self.at += 4
        self.stack.append(_INT32(self.data, self.at - 4)[0])

    def none(self) -> None:
        self.stack.append(None)

    def true(self) -> None:
        self.stack.append(True)

    def false(self) -> None:
        self.stack.append(False)

    def _counted_text(self, count: int, encoding: str = "utf-8") -> None:
        if count > self._text:
            raise over_limit(self.path, "text", count, "the length of a text")
        # What is no text (half a character) becomes a question mark: it could not be printed.
        self.stack.append(self.take(count).decode(encoding, errors="replace"))

    def text1(self) -> None:
        data, start = self.data, self.at + 1
        end = start + data[start - 1]
        if end > len(data):
            raise EOFError("a text breaks off")
        self.at = end
        self.stack.append(data[start:end].decode("utf-8", errors="replace"))

    def text4(self) -> None:
        self._counted_text(_UINT32(self.take(4))[0])

    def text8(self) -> None:
        self._counted_text(_UINT64(self.take(8))[0])

    def text_line(self) -> None:
        text = self.line().decode("raw-unicode-escape")
        self.stack.append(text.encode("utf-8", errors="replace").decode())

    def old_text1(self) -> None:
        self.stack.append(self.take(self.take(1)[0]).decode("latin1"))

    def old_text4(self) -> None:
        # The bytes of arrays, where Python 2 wrote them: as long as the file is.
        self.stack.append(self.take(_INT32(self.take(4))[0]).decode("latin1"))

    def old_text_line(self) -> None:
        end = self.data.find(b"\n", self.at)
        if end < 0:
            raise EOFError("a line has no end")
        part = self.data[self.at : end].strip()
        self.at = end + 1
        if len(part) < 2 or part[:1] not in b"'\"" or part[-1:] != part[:1]:
            raise ValueError("a text without quotes")
        plain, _ = codecs.escape_decode(part[1:-1])
        self.stack.append(plain.decode("latin1"))

    def bytes1(self) -> None:
        self.at += 1
        self.stack.append(self.take(self.data[self.at - 1]))

    def bytes4(self) -> None:
        self.stack.append(self.take(_UINT32(self.take(4))[0]))

    def bytes8(self) -> None:
        self.stack.append(self.take(_UINT64(self.take(8))[0]))

    def byte_array(self) -> None:
        # As bytes: nothing changes it later, and arrays are made of it without a copy.
        self.stack.append(self.take(_UINT64(self.take(8))[0]))

    # -- containers -----------------------------------------------------------------------------

    def _hold(self, container: Any, size: int) -> None:
        """Put a container on the stack that takes `size` bytes and one or two of the file."""
        self._held += size
        if self._held > _HELD:
            self.charge(self._held)
            self._held = 0
        self.stack.append(container)

    def empty_tuple(self) -> None:
        self.stack.append(())

    def tuple1(self) -> None:
        self._hold((self.stack.pop(),), _TUPLE)

    def tuple2(self) -> None:
        stack = self.stack
        stack[-2:] = [(stack[-2], stack[-1])]

    def tuple3(self) -> None:
        stack = self.stack
        stack[-3:] = [(stack[-3], stack[-2], stack[-1])]

    def tuple_marked(self) -> None:
        items = self.marked()
        self.stack.append(tuple(items))

    def empty_list(self) -> None:
        self._hold([], _LIST)

    def list_marked(self) -> None:
        items = self.marked()
        self._hold(items, _LIST)

    def append(self) -> None:
        item = self.stack.pop()
        _expect(list, self.stack[-1]).append(item)

    def appends(self) -> None:
        items = self.marked()
        _expect(list, self.stack[-1]).extend(items)

    def empty_dict(self) -> None:
        self._hold({}, _DICT)

    def dict_marked(self) -> None:
        items = self.marked()
        self._hold(pairs(items[::2], items[1::2]), _DICT)

    def set_item(self) -> None:
        value = self.stack.pop()
        key = self.stack.pop()
        _expect(dict, self.stack[-1]).update(pairs([key], [value]))

    def set_items(self) -> None:
        items = self.marked()
        _expect(dict, self.stack[-1]).update(pairs(items[::2], items[1::2]))

    def empty_set(self) -> None:
        self._hold(set(), _SET)

    def add_items(self) -> None:
        items = self.marked()
        _expect(set, self.stack[-1]).update(keys(items))

    def frozen_set(self) -> None:
        items = self.marked()
        self._hold(frozenset(keys(items)), _SET)

    # -- stack and memo -------------------------------------------------------------------------

    def pop(self) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.marked()

    def pop_mark(self) -> None:
        self.marked()

    def duplicate(self) -> None:
        self.stack.append(_whole_thing(self.stack[-1]))

    def _put(self, index: int) -> None:
        top = self.stack[-1]
        if isinstance(top, Unfinished):
            top.kept.append(index)
        self.memo[index] = top

    def put_line(self) -> None:
        self._put(_whole(self.line()))

    def put1(self) -> None:
        self.at += 1
        self._put(self.data[self.at - 1])

    def put4(self) -> None:
        self.at += 4
        self._put(_UINT32(self.data, self.at - 4)[0])

    def memoize(self) -> None:
        self._put(len(self.memo))

    def _get(self, thing: Any) -> None:
        self.stack.append(_whole_thing(thing))

    def get_line(self) -> None:
        self._get(self.memo[_whole(self.line())])

    def get1(self) -> None:
        self.at += 1
        self._get(self.memo[self.data[self.at - 1]])

    def get4(self) -> None:
        self.at += 4
        self._get(self.memo[_UINT32(self.data, self.at - 4)[0]])

    # -- names and what is made of them ---------------------------------------------------------

    def _name(self, module: str, name: str) -> None:
        known = self.names.get(f"{module} {name}")
        if known is None:
            raise Refused(f"{module[:40]}.{name[:40]}")
        self.stack.append(known)

    def name_lines(self) -> None:
        module = self.line().decode("utf-8", errors="replace")
        self._name(module, self.line().decode("utf-8", errors="replace"))

    def name_on_stack(self) -> None:
        name = self.stack.pop()
        module = self.stack.pop()
        if type(name) is not str or type(module) is not str:
            raise Refused("a name that is no text")
        self._name(module, name)

    def reduce(self) -> None:
        arguments = self.stack.pop()
        made = self.stack[-1]
        if type(made) is not Name or type(arguments) is not tuple:
            raise Refused(f"a call of {type(made).__name__}")
        self.stack[-1] = _call(self, made, arguments)

    def new_object(self) -> None:
        arguments = self.stack.pop()
        made = self.stack[-1]
        if type(made) is not Name or type(arguments) is not tuple or not made.new:
            raise Refused(
                f"an object of {made.name if type(made) is Name else type(made).__name__}"
            )
        self.stack[-1] = _call(self, made, arguments)

    def instance(self) -> None:
        module = self.line().decode("utf-8", errors="replace")
        name = self.line().decode("utf-8", errors="replace")
        raise Refused(f"{module[:40]}.{name[:40]}")

    def refuse_object(self) -> None:
        raise Refused("an object of a class")

    def refuse_extension(self) -> None:
        raise Refused("an extension code")

    def refuse_buffer(self) -> None:
        raise Refused("a buffer outside the file")

    def build(self) -> None:
        state = self.stack.pop()
        thing = self.stack[-1]
        if isinstance(thing, dict) and isinstance(state, dict):
            return  # attributes of a dictionary (PyTorch's notes on versions): no data
        if not isinstance(thing, Stateful):
            raise Refused(f"a state for {type(thing).__name__}")
        made = thing.finish(self, state)
        self.stack[-1] = made
        for index in thing.kept if isinstance(thing, Unfinished) else ():
            if self.memo.get(index) is thing:
                self.memo[index] = made

    def persistent(self) -> None:
        if self.storage is None:
            raise Refused("a reference to another file")
        self.stack[-1] = self.storage(self.stack[-1])

    def persistent_line(self) -> None:
        self.line()
        raise Refused("a reference to another file")


def _call(machine: Machine, name: Name, arguments: tuple[Any, ...]) -> Any:
    try:
        return name.call(machine, *arguments)
    except Refused as error:
        raise Refused(f"{name.name}: {error}") from None
    except TypeError as error:
        raise Refused(f"{name.name} with {len(arguments)} arguments of other kinds") from error


def _expect(kind: type[Any], thing: Any) -> Any:
    if type(thing) is not kind:
        raise Refused(f"content for {type(thing).__name__}, which is no {kind.__name__}")
    return thing


def _whole_thing(thing: Any) -> Any:
    """`thing`, which may be used a second time only when it has its state."""
    if isinstance(thing, Unfinished):
        raise Refused("an array inside itself")
    return thing


def _whole(text: bytes) -> int:
    if len(text) > _DIGITS + 1:
        raise Refused(f"a whole number of {len(text)} digits")
    value = int(text)
    if value.bit_length() > _INT_BITS:
        raise Refused(f"a whole number of more than {_INT_BITS} bits")
    return value


def keys(values: list[Any]) -> list[Any]:
    """Keys of a dictionary or members of a set: texts, bytes, plain numbers, None.

    Containers are refused as keys: their hash is computed recursively.
    """
    if _KEY_TYPES.issuperset(map(type, values)):
        return values
    return [_key(v) for v in values]


def _key(value: Any) -> Any:
    if isinstance(value, np.generic) and value.dtype.kind in "biufSU":
        return value.item()
    if type(value) not in _KEY_TYPES:
        raise Refused(f"a {type(value).__name__} as a key")
    return value


def pairs(names: list[Any], values: list[Any]) -> dict[Any, Any]:
    """A dictionary of as many names as values."""
    if len(names) != len(values):
        raise ValueError("a key without a value")
    return dict(zip(keys(names), values, strict=True))


_OPCODES: dict[bytes, Callable[[Machine], None]] = {
    b"\x80": Machine.protocol, b"\x95": Machine.frame,
    b"G": Machine.floats, b"F": Machine.float_line, b"I": Machine.int_line,
    b"L": Machine.long_line, b"\x8a": Machine.long1, b"\x8b": Machine.long4,
    b"K": Machine.uint8, b"M": Machine.uint16, b"J": Machine.int32,
    b"N": Machine.none, b"\x88": Machine.true, b"\x89": Machine.false,
    b"\x8c": Machine.text1, b"X": Machine.text4, b"\x8d": Machine.text8, b"V": Machine.text_line,
    b"U": Machine.old_text1, b"T": Machine.old_text4, b"S": Machine.old_text_line,
    b"C": Machine.bytes1, b"B": Machine.bytes4, b"\x8e": Machine.bytes8,
    b"\x96": Machine.byte_array,
    b")": Machine.empty_tuple, b"\x85": Machine.tuple1, b"\x86": Machine.tuple2,
    b"\x87": Machine.tuple3, b"t": Machine.tuple_marked,
    b"]": Machine.empty_list, b"l": Machine.list_marked, b"a": Machine.append,
    b"e": Machine.appends,
    b"}": Machine.empty_dict, b"d": Machine.dict_marked, b"s": Machine.set_item,
    b"u": Machine.set_items,
    b"\x8f": Machine.empty_set, b"\x90": Machine.add_items, b"\x91": Machine.frozen_set,
    b"(": Machine.mark, b"0": Machine.pop, b"1": Machine.pop_mark, b"2": Machine.duplicate,
    b"p": Machine.put_line, b"q": Machine.put1, b"r": Machine.put4, b"\x94": Machine.memoize,
    b"g": Machine.get_line, b"h": Machine.get1, b"j": Machine.get4,
    b"c": Machine.name_lines, b"\x93": Machine.name_on_stack,
    b"R": Machine.reduce, b"\x81": Machine.new_object, b"b": Machine.build,
    b"Q": Machine.persistent, b"P": Machine.persistent_line,
    b"i": Machine.instance, b"o": Machine.refuse_object, b"\x92": Machine.refuse_object,
    b"\x82": Machine.refuse_extension, b"\x83": Machine.refuse_extension,
    b"\x84": Machine.refuse_extension,
    b"\x97": Machine.refuse_buffer, b"\x98": Machine.refuse_buffer,
}  # fmt: skip
_DISPATCH: list[Callable[[Machine], None] | None] = [
    _OPCODES.get(bytes([code])) for code in range(256)
]
