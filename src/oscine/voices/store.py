"""Recordings that are ready to use, kept by their content."""

from __future__ import annotations

import base64
import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from oscine.audio.apart import decode_apart
from oscine.audio.decode import Limits, decode
from oscine.audio.waveform import Waveform
from oscine.errors import InvalidRequest
from oscine.voices.library import RECORDING, UPLOAD, VoiceFile, VoiceLibrary
from oscine.voices.prompt import Prompt

_REMEMBERED_FILES: Final = 10_000
"""Files whose content is known by their stamp, so that they are not read again."""
_WHITE_SPACE: Final = " \t\n\r\f\v"
_NO_WHITE_SPACE: Final = dict.fromkeys(map(ord, _WHITE_SPACE))

_Stamp = tuple[int, ...]
"""See `_stamp`."""


class PromptStore:
    """Decodes recordings and keeps the latest ones in memory, by their content. Threads may share it."""

    def __init__(self, library: VoiceLibrary, *, max_items: int = 64, max_bytes: int = 256 * 1024 * 1024) -> None:
        self._library = library
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._held_bytes = 0
        self._decoded: OrderedDict[str, Waveform] = OrderedDict()
        self._keys: OrderedDict[_Stamp, str] = OrderedDict()
        self._lock = threading.Lock()

    def prompt(self, voice: VoiceFile, *, field: str = "voice") -> Prompt:
        """The voice's recording as mono float32 at its own rate; an unchanged file is not read again.

        Raises InvalidRequest for a recording that cannot be used, NotAvailable for one that went away.
        """
        with self._library.open(voice) as file:
            stamp = _stamp(os.fstat(file.fileno()))
            with self._lock:
                key = self._keys.get(stamp)
                reference = self._recall(key) if key else None
            if key and reference:
                return Prompt(voice.name, key, reference)
            prompt = self._prepare(file.read(RECORDING.max_bytes + 1), voice.name, RECORDING, field, decode)
            unchanged = _stamp(os.fstat(file.fileno())) == stamp
        if unchanged:
            with self._lock:
                self._keys[stamp] = prompt.key
                while len(self._keys) > _REMEMBERED_FILES:
                    self._keys.popitem(last=False)
        return prompt

    def prompt_from_bytes(self, data: bytes, name: str = "voice_audio") -> Prompt:
        """A recording that came with a request, at most 7 MiB. Raises InvalidRequest that names the field `name`."""
        return self._prepare(data, name, UPLOAD, name, decode_apart)

    def prompt_from_base64(self, text: str, name: str = "voice_audio") -> Prompt:
        """The same from base64, with or without a `data:` prefix and line breaks."""
        return self.prompt_from_bytes(decoded_base64(text, name), name)

    def _prepare(self, data: bytes, name: str, limits: Limits, field: str, read: Callable[..., Waveform]) -> Prompt:
        key = f"sha256:{hashlib.sha256(data).hexdigest()}"
        with self._lock:
            reference = self._recall(key) if len(data) <= limits.max_bytes else None
        if reference is None:
            reference = self._remember(key, read(data, limits, field=field))
        return Prompt(name, key, reference)

    def _recall(self, key: str) -> Waveform | None:
        if key in self._decoded:
            self._decoded.move_to_end(key)
        return self._decoded.get(key)

    def _remember(self, key: str, decoded: Waveform) -> Waveform:
        """Keep a recording, or return the equal one that another thread kept; its samples are made read-only."""
        with self._lock:
            if (held := self._recall(key)) is not None:
                return held
            if decoded.samples.nbytes > self._max_bytes:
                return decoded
            decoded.samples.flags.writeable = False
            self._decoded[key] = decoded
            self._held_bytes += decoded.samples.nbytes
            while len(self._decoded) > self._max_items or self._held_bytes > self._max_bytes:
                _, dropped = self._decoded.popitem(last=False)
                self._held_bytes -= dropped.samples.nbytes
        return decoded


def decoded_base64(text: str, field: str) -> bytes:
    """An upload from base64, with or without a `data:` prefix and line breaks. Raises InvalidRequest."""
    body = text.partition(",")[2] if text.lstrip(_WHITE_SPACE).startswith("data:") else text
    body = body.translate(_NO_WHITE_SPACE)
    if len(body) > -(-UPLOAD.max_bytes // 3) * 4:
        raise InvalidRequest(
            f"{field} is larger than {UPLOAD.max_bytes // 1024**2} MB; send a shorter recording or add it to the voice"
            " library.",
            param=field,
        )
    try:
        return base64.b64decode(body, validate=True)
    except ValueError:
        raise InvalidRequest(f"{field} must be a base64 string of an audio file.", param=field) from None


def _stamp(status: os.stat_result) -> _Stamp:
    """Changes whenever the file's content may have changed."""
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
