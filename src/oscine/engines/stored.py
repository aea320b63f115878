"""Where models lie on this machine, and whether their files are whole; touches no network, and unpickles nothing."""

from __future__ import annotations

import json
import os
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from oscine.config import Settings

COMMIT: Final = re.compile(r"[0-9A-Za-z]{1,64}")
HUB_NAME: Final = re.compile(r"(?!.*(?:--|\.\.))[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
SAFETENSORS: Final = "model.safetensors"
INDEX: Final = "model.safetensors.index.json"

_SHARD: Final = re.compile(r"\w[\w.-]*\.safetensors", re.ASCII)
_LONGEST_HEADER: Final = 100_000_000
"""Bytes that the format safetensors allows its header."""
_LONGEST_TEXT: Final = 64 << 20
"""Bytes of the longest file of text that is read: an index, a vocabulary."""
_BEFORE_ZIP: Final = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
"""How files of `torch.save` began before they were zip archives (PyTorch 1.6): a pickled number."""
_LEFT_BY_GIT: Final = b"version https://git-lfs"


def storage_of(hub: str) -> str:
    """The folder of a model in a cache; documented at https://huggingface.co/docs/huggingface_hub/guides/manage-cache."""
    return "models--" + hub.replace("/", "--")


def user_cache() -> Path:
    """Where models of the Hub lie unless somebody says otherwise; HF_HOME and HF_HUB_CACHE do."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def caches(settings: Settings) -> Iterator[Path]:
    """Where models of the Hub lie, in the order they are looked for: what RunPod brings, then the user's own."""
    yield settings.home / "huggingface-cache" / "hub"
    if find_spec("huggingface_hub") is not None:
        yield user_cache()


def snapshot(cache: Path, hub: str) -> Path | None:
    """A model's folder in a cache, by what `refs/main` points to; where there is no such file, the only snapshot."""
    storage = cache / storage_of(hub)
    try:
        commit = (storage / "refs" / "main").read_text("utf-8").strip()
    except FileNotFoundError:
        commits = [entry.name for entry in entries(storage / "snapshots") if COMMIT.fullmatch(entry.name)]
        commit = commits[0] if len(commits) == 1 else ""
    except (OSError, ValueError):
        return None
    return storage / "snapshots" / commit if COMMIT.fullmatch(commit) else None


def entries(folder: Path) -> Sequence[Path]:
    """What lies in a folder; nothing, where it cannot be read."""
    try:
        return list(folder.iterdir())
    except OSError:
        return ()


def json_in(file: Path) -> dict[str, Any] | None:
    """The object in a file of JSON; None: there is none."""
    try:
        if file.stat().st_size > _LONGEST_TEXT:
            return None
        found = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def shards(folder: Path) -> list[str]:
    """The files of weights, in the order transformers looks for them; none: that cannot be told."""
    if (folder / SAFETENSORS).is_file():
        return [SAFETENSORS]
    places = (json_in(folder / INDEX) or {}).get("weight_map")
    names = sorted({str(name) for name in places.values()}) if isinstance(places, dict) else []
    return names if all(_SHARD.fullmatch(name) for name in names) else []


def is_safetensors(file: Path) -> bool:
    """Whether the file is as long as its header says: neither cut, nor what git leaves in place of a large file."""
    try:
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            if length > _LONGEST_HEADER:
                return False
            header = json.loads(opened.read(length))
            size = opened.seek(0, os.SEEK_END)
        end = max((entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"), default=0)
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        return False
    return bool(size == 8 + length + end)


def is_torch(file: Path) -> bool:
    """Whether `torch.load` finds a whole archive: its directory stands at the end, so a cut file has none.

    Of the format before zip archives only the beginning can be known without unpickling.
    """
    try:
        with file.open("rb") as opened:
            if opened.read(len(_BEFORE_ZIP)) == _BEFORE_ZIP:
                return True
    except OSError:
        return False
    return bool(torch_records(file))


def torch_records(file: Path) -> tuple[tuple[str, int, int], ...]:
    """What such an archive's directory lists: names, checksums (CRC-32), sizes; nothing, where the file is none."""
    try:
        facts = file.stat()
        return _records(file, facts.st_size, facts.st_mtime_ns)
    except OSError:
        return ()


@lru_cache(maxsize=32)
def _records(file: Path, _size: int, _changed: int) -> tuple[tuple[str, int, int], ...]:
    """Read once for each state of the file: there are thousands of them, and they are asked for with each request."""
    try:
        with zipfile.ZipFile(file) as archive:
            records = archive.infolist()
    except (OSError, ValueError, RuntimeError, zipfile.BadZipFile):
        return ()
    begun = all(record.header_offset >= 0 for record in records)
    found = tuple((record.filename, record.CRC, record.file_size) for record in records)
    return found if begun and any(name.endswith("data.pkl") for name, *_ in found) else ()


def is_damaged_torch(file: Path) -> bool:
    """Whether what such an archive holds contradicts its checksums; reads all of it."""
    try:
        with zipfile.ZipFile(file) as archive:
            return archive.testzip() is not None
    except (OSError, ValueError, RuntimeError, EOFError, zipfile.BadZipFile, zlib.error):
        return True


def is_content(file: Path) -> bool:
    """Whether there is anything, and not what git leaves in place of a large file."""
    try:
        with file.open("rb") as opened:
            begins = opened.read(len(_LEFT_BY_GIT))
    except OSError:
        return False
    return begins not in (b"", _LEFT_BY_GIT)
