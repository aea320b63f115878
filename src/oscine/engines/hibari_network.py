"""The built-in voice's network, run without the transpose at its end.

The network makes the five parts of a spectrum frame by frame and then transposes them, `[frames, bins]` to
`[bins, frames]`, which takes a tenth of its time; what comes after it wants them frame by frame. So the model is loaded
without its last two nodes, a Transpose and a Split.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

PARTS: Final = ("lh", "theta", "ln", "lr", "phi")
"""Level and phase of the harmonics, level of the noise, level and phase of the rest."""


class Network:
    """One voice's model. May be run by several threads at once."""

    def __init__(self, path: str) -> None:
        import onnxruntime

        model, self._spectrum = _without_transpose(Path(path).read_bytes())
        self._session: Any = onnxruntime.InferenceSession(model, _options(), providers=["CPUExecutionProvider"])

    def run(self, ids: Sequence[int], speed: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Phoneme ids -> the `PARTS` of the spectrum side by side, float32 `[frames, 5 * bins]`, and F0 in Hz."""
        feeds = {"ids": np.asarray([ids], np.int64), "speed": np.asarray([speed], np.float32)}
        if self._spectrum is not None:
            spectrum, f0 = self._session.run([self._spectrum, "f0"], feeds)
            return spectrum[0], f0[0]
        *parts, f0 = self._session.run([*PARTS, "f0"], feeds)
        return np.ascontiguousarray(np.concatenate([part[0] for part in parts]).T), f0[0]


def _options() -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Else it keeps memory for every length of sentence it has met: hours of speech would take more and more.
    options.enable_mem_pattern = options.enable_cpu_mem_arena = False
    return options


# -- the model's file: protocol buffers as onnx.proto has them ---------------------------------------------------------

_GRAPH: Final = 7  # of ModelProto
_NODE, _OUTPUT = 1, 12  # of GraphProto
_NODE_INPUT, _NODE_OUTPUT, _NODE_OPERATOR = 1, 2, 4  # of NodeProto
_NAME: Final = 1  # of ValueInfoProto
_BYTES: Final = 2
"""The wire type of a field whose length comes before it: strings, bytes, messages."""


@dataclass(frozen=True)
class _Field:
    number: int
    whole: memoryview
    """With its tag."""
    value: memoryview


def _without_transpose(model: bytes) -> tuple[bytes, str | None]:
    """The model without its last two nodes, which puts out the input of the transpose, and the name of that output.

    A model that does not end in the two is returned as it is, with None.
    """
    graph = next(field.value for field in _fields(memoryview(model)) if field.number == _GRAPH)
    fields = list(_fields(graph))
    nodes = [field for field in fields if field.number == _NODE]
    split = _maker(nodes, PARTS[0].encode())
    transpose = _maker(nodes, _names(split, _NODE_INPUT)[0]) if split else None
    if split is None or transpose is None or (_operator(split), _operator(transpose)) != (b"Split", b"Transpose"):
        return model, None
    name = _names(transpose, _NODE_INPUT)[0]
    kept = [field.whole for field in fields if field not in (split, transpose) and not _is_part(field)]
    kept.append(memoryview(_encoded(_OUTPUT, _encoded(_NAME, name))))
    others = [field.whole for field in _fields(memoryview(model)) if field.number != _GRAPH]
    return b"".join([*others, _encoded(_GRAPH, b"".join(kept))]), name.decode()


def _is_part(field: _Field) -> bool:
    return field.number == _OUTPUT and _names(field, _NAME)[0] in {part.encode() for part in PARTS}


def _maker(nodes: Sequence[_Field], name: bytes) -> _Field | None:
    """The node that has an output of that name."""
    return next((node for node in nodes if name in _names(node, _NODE_OUTPUT)), None)


def _operator(node: _Field) -> bytes:
    return _names(node, _NODE_OPERATOR)[0]


def _names(message: _Field, number: int) -> list[bytes]:
    return [bytes(field.value) for field in _fields(message.value) if field.number == number]


def _fields(message: memoryview) -> Iterator[_Field]:
    at = 0
    while at < len(message):
        begin = at
        tag, at = _varint(message, at)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            _, end = _varint(message, at)
        elif wire == _BYTES:
            length, at = _varint(message, at)
            end = at + length
        else:
            end = at + {1: 8, 5: 4}[wire]
        yield _Field(number, message[begin:end], message[at:end])
        at = end


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """The number that begins at `at`, and where it ends."""
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 127) << shift
        at += 1
        shift += 7
        if byte < 128:
            return value, at


def _encoded(number: int, value: bytes) -> bytes:
    length, size = len(value), bytearray([number << 3 | _BYTES])
    while length > 127:
        size.append(length & 127 | 128)
        length >>= 7
    size.append(length)
    return bytes(size) + value
