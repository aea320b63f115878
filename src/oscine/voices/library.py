"""The library of reference voices: the only code that turns a name into a path.

A name from outside is matched against what lies in the folders and never becomes part of a path, except in `add`, which
takes none that `clean_name` refuses.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import stat
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from oscine.audio.apart import decode_apart
from oscine.audio.decode import Limits, decode
from oscine.errors import DeliveryFailed, InvalidRequest, NotAvailable
from oscine.voices.container import describe, extension_of
from oscine.voices.folder import inside, only_writer, open_regular, publish, real
from oscine.voices.names import EXTENSIONS, clean_name, exact, fold, match, unknown

UPLOAD: Final = Limits(
    max_bytes=7 * 1024 * 1024, min_seconds=3.0, max_seconds=120.0, max_channels=2, max_sample_rate=96_000
)
"""What a recording from outside may be."""
RECORDING: Final = dataclasses.replace(UPLOAD, max_bytes=64 * 1024 * 1024)
"""What a recording in the library may be: room for 120 s of uncompressed studio sound."""


@dataclass(frozen=True)
class VoiceFile:
    """A recording in the library."""

    name: str
    path: Path
    """The real path, inside one of the library's folders."""
    size: int
    """Bytes."""
    modified: float
    """Seconds since 1970."""


@dataclass(frozen=True)
class VoiceDetails:
    """What a recording is like."""

    voice: VoiceFile
    format: str
    """The usual ending of such a file, whatever it is called here."""
    codec: str
    duration: float
    """Seconds."""
    sample_rate: int
    """Hz."""
    channels: int
    loudness: float | None
    """LUFS, as mono; None if it cannot be measured."""


class VoiceLibrary:
    """Recordings in several folders.

    Of two with the same name the one in the earlier folder counts, and in one folder the newest. `home` is where new
    voices go; it comes before all `folders`. Folders that do not exist are fine; `home` is made when needed.
    Hidden files, files whose name cannot be printed and links that lead out of their folder do not count.
    """

    def __init__(self, folders: Sequence[Path], home: Path) -> None:
        self.home = home
        self._folders = tuple(dict.fromkeys((home, *folders)))

    def names(self) -> tuple[str, ...]:
        """All names in alphabetical order."""
        return tuple(self._scan().found)

    def list(self) -> tuple[VoiceFile, ...]:
        """All voices by name."""
        files = (_voice_file(name, found) for name, found in self._scan().found.items())
        return tuple(file for file in files if file is not None)

    def exact(self, name: str) -> VoiceFile | None:
        """The voice of this very name (case and an audio file's ending do not matter), or None."""
        found = self._scan().found
        same = exact(name, found)
        return _voice_file(same[0], found[same[0]]) if len(same) == 1 else None

    def find(self, name: str, *, loose: bool = False, field: str = "voice") -> VoiceFile:
        """The voice that `name` means, by the rules of `names.match`. Raises InvalidRequest that lists names."""
        scan = self._scan()
        if exact(name, scan.leading_out) and not exact(name, scan.found):
            raise InvalidRequest(
                f"{field} names a link that leads out of the folder of voices; put the recording itself there.",
                param=field,
            )
        chosen = match(name, tuple(scan.found), loose=loose, field=field).name
        voice = _voice_file(chosen, scan.found[chosen])
        if voice is None:
            raise unknown(field, [other for other in scan.found if other != chosen])
        return voice

    def open(self, voice: VoiceFile) -> BinaryIO:
        """The recording's bytes. Raises NotAvailable if it went away or no longer lies in the library."""
        roots = [root for folder in self._folders if (root := real(folder))]
        path = next((path for root in roots if (path := inside(root, str(voice.path)))), None)
        try:
            if path is not None:
                return open_regular(path)
        except OSError:
            pass
        raise NotAvailable(
            f"The recording of the voice {voice.name} cannot be read; see `oscine voices list`.", param="voice"
        )

    def show(self, name: str) -> VoiceDetails:
        """What the voice's recording is like. Raises InvalidRequest, also for a recording that cannot be used."""
        from oscine.audio.loudness import integrated_loudness

        voice = self.find(name)
        with self.open(voice) as file:
            data = file.read(RECORDING.max_bytes + 1)
        waveform = decode(data, RECORDING, field="voice")
        sound = describe(data)
        loudness = integrated_loudness(waveform.samples, waveform.sample_rate)
        return VoiceDetails(
            voice, sound.extension, sound.codec, waveform.duration, sound.sample_rate, sound.channels, loudness
        )

    def add(
        self, name: str, data: bytes, *, replace: bool = False, limits: Limits = UPLOAD, field: str = "voice_audio"
    ) -> VoiceFile:
        """Keep a recording under `name`, in `home`, with the ending that fits what it really is.

        It is decoded first. At any moment the old voice is there or the new one, also after a crash or a kill. Raises
        InvalidRequest for a name or a recording that cannot be used and for a voice that exists, DeliveryFailed if it
        cannot be written.
        """
        cleaned = clean_name(name)
        decode_apart(data, limits, field=field)
        extension = extension_of(data)
        if extension is None:
            raise InvalidRequest(
                f"{field} is not one of wav, flac, mp3, m4a, ogg, opus, webm and aac; convert it.", param=field
            )
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            home = self.home.resolve(strict=True)
            with only_writer(home):
                return self._put(home, cleaned, f"{cleaned}.{extension}", data, replace)
        except OSError as error:
            raise DeliveryFailed(
                f"The voice could not be written to the folder of voices ({error.strerror or 'input/output error'}); "
                "make room there and let Oscine write to it, or set AUDIO_VOICES_DIR to another folder."
            ) from error

    def remove(self, name: str) -> VoiceFile:
        """Delete the voice of this very name.

        A voice of the same name in a later folder, hidden until now, comes to light. Raises InvalidRequest if there is
        none, DeliveryFailed if its folder cannot be written.
        """
        scan = self._scan()
        same = exact(name, scan.found)
        voice = _voice_file(same[0], scan.found[same[0]]) if len(same) == 1 else None
        if voice is None:
            raise unknown("voice", tuple(scan.found))
        found = scan.found[voice.name]
        try:
            with only_writer(found.folder):
                for filename in found.filenames:
                    (found.folder / filename).unlink(missing_ok=True)
        except OSError as error:
            raise DeliveryFailed(
                f"The voice could not be removed from its folder ({error.strerror or 'input/output error'}); "
                "let Oscine write there, or delete the recording by hand."
            ) from error
        return voice

    def _put(self, home: Path, name: str, filename: str, data: bytes, replace: bool) -> VoiceFile:
        """Write while nobody else does, then take away what had the name before."""
        former = [found for other, found in self._scan().found.items() if fold(other) == fold(name)]
        if not replace and (former or os.path.lexists(home / filename)):
            raise InvalidRequest(
                "voice is the name of a voice that exists; choose another name, or ask to replace it.",
                param="voice",
                code="voice_exists",
            )
        path = publish(home, filename, data)
        for found in former:
            for old in found.filenames:
                if found.folder == home and not path.samefile(home / old):
                    (home / old).unlink(missing_ok=True)
        status = path.stat()
        return VoiceFile(name, path, status.st_size, status.st_mtime)

    def _scan(self) -> _Scan:
        found: dict[str, _Found] = {}
        leading_out: list[str] = []
        roots = dict.fromkeys(root for folder in self._folders if (root := real(folder)))
        for root in roots:
            here = _read(root, leading_out)
            found = here | found
        return _Scan(dict(sorted(found.items(), key=lambda item: (fold(item[0]), item[0]))), leading_out)


@dataclass
class _Found:
    """The files of one name in one folder (a real path)."""

    folder: Path
    filenames: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Scan:
    found: dict[str, _Found]
    leading_out: list[str]


def _read(root: Path, leading_out: list[str]) -> dict[str, _Found]:
    """The voices in one folder. Asks the system for nothing but the listing, except for links."""
    found: dict[str, _Found] = {}
    try:
        with os.scandir(root) as entries:
            for entry in entries:
                name = _name_of(entry.name)
                if name is None:
                    continue
                if entry.is_symlink():
                    if inside(root, entry.name) is None:
                        leading_out.append(name)
                        continue
                elif not entry.is_file(follow_symlinks=False):
                    continue
                found.setdefault(name, _Found(root)).filenames.append(entry.name)
    except OSError:
        return found
    return found


def _name_of(filename: str) -> str | None:
    """The voice's name; None for a file that is hidden, no audio file or has a name that cannot be printed."""
    stem, _, extension = filename.rpartition(".")
    if filename.startswith(".") or not stem or extension.lower() not in EXTENSIONS:
        return None
    if not stem.isprintable() and any(unicodedata.category(c) in _UNPRINTABLE for c in stem):
        return None
    return unicodedata.normalize("NFC", stem)


_UNPRINTABLE: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})


def _voice_file(name: str, found: _Found) -> VoiceFile | None:
    """The newest of the files; None if they have gone meanwhile."""
    voices = []
    for filename in sorted(found.filenames):
        with contextlib.suppress(OSError):
            path: Path | None = found.folder / filename
            status = os.lstat(found.folder / filename)
            if stat.S_ISLNK(status.st_mode):
                path = inside(found.folder, filename)
                status = path.stat() if path else status
            if path and stat.S_ISREG(status.st_mode):
                voices.append(VoiceFile(name, path, status.st_size, status.st_mtime))
    return max(voices, key=lambda voice: voice.modified, default=None)
