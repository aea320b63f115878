"""Addresses of the web and of e-mail, the way people say them."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from oscine.text.marks import SIGNS

_SAYS: Final = {
    "en": ("dot", "slash", "at", "dash", "underscore", "plus"),
    "de": ("Punkt", "Schrägstrich", "ät", "Minus", "Unterstrich", "Plus"),
    "fr": ("point", "slash", "arobase", "tiret", "souligné", "plus"),
    "es": ("punto", "barra", "arroba", "guion", "guion bajo", "más"),
    "it": ("punto", "barra", "chiocciola", "trattino", "trattino basso", "più"),
    "pt": ("ponto", "barra", "arroba", "hífen", "sublinhado", "mais"),
    "nl": ("punt", "slash", "apenstaartje", "streepje", "laag streepje", "plus"),
    "zh": ("点", "斜杠", "艾特", "杠", "下划线", "加"),
    "ja": ("ドット", "スラッシュ", "アットマーク", "ハイフン", "アンダーバー", "プラス"),
    "ko": ("점", "슬래시", "골뱅이", "하이픈", "밑줄", "플러스"),
    "ru": ("точка", "слэш", "собака", "дефис", "нижнее подчёркивание", "плюс"),
    "pl": ("kropka", "ukośnik", "małpa", "myślnik", "podkreślnik", "plus"),
    "tr": ("nokta", "eğik çizgi", "et", "tire", "alt çizgi", "artı"),
    "ar": ("نقطة", "شرطة مائلة", "آت", "شرطة", "شرطة سفلية", "زائد"),
    "hi": ("डॉट", "स्लैश", "ऐट", "डैश", "अंडरस्कोर", "प्लस"),
    "vi": ("chấm", "gạch chéo", "a còng", "gạch ngang", "gạch dưới", "cộng"),
}
_LONGEST_PATH: Final = 30
_WIDE: Final = "\u2e80-\u9fff\uac00-\ud7a3\uf900-\ufaff\uff00-\uffef"
"""Inside of `[]`: what stands right beside an address in Chinese, Japanese and Korean."""
_ANY_WIDE: Final = re.compile(f"[{_WIDE}]")
_ADDRESS: Final = rf"[^\s<>\"“”„«»`{_WIDE}{SIGNS}]"
_URL: Final = re.compile(rf"(?<![A-Za-z0-9])(?i:(?:https?|ftp|file|wss?)://|www\.(?=[^\W_])){_ADDRESS}++")
_KNOWN: Final = (
    "com org net edu gov mil int info biz io ai dev app cloud tech online site blog shop xyz tv fm co uk de fr eu ch "
    "nl se dk fi pl cz pt ca au nz jp cn kr br ru ie"
)
_DOMAINS: Final = frozenset(_KNOWN.split())
"""Top-level domains that are known without `https://` or `www.`; none is a word or a file's ending."""
_TRAILING: Final = ".,;:!?'’*_~|\\"


def read_urls(text: str, language: str = "en") -> str:
    """Web addresses as spoken: the host with its dots, a short path with slashes.

    Schemes, `www.`, queries and long paths are left out.
    """
    if "." not in text and "://" not in text:
        return text
    text = _URL.sub(lambda found: _url(found[0], language), text)
    host, _ = _addresses(text)
    return host.sub(lambda found: _url(found[0], language) if _is_host(found[0]) else found[0], text)


def read_emails(text: str, language: str = "en") -> str:
    """E-mail addresses as spoken: `jane.doe@example.com` is "jane dot doe at example dot com"."""
    if "@" not in text:
        return text
    _, email = _addresses(text)
    return email.sub(lambda found: _email(found[1], found[2], language), text)


def _addresses(text: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """What finds hosts and e-mail addresses, also between the characters of Chinese, Japanese and Korean."""
    return _compiled("" if text.isascii() or not _ANY_WIDE.search(text) else _WIDE)


@cache
def _compiled(wide: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    before, label = rf"(?<![^\W{wide}])(?<![.+-])", rf"[^\W_{wide}](?:[^\W_{wide}]|-){{0,62}}+"
    host = rf"{before}(?<![@/:\\]){label}(?:\.{label})++(?::\d{{2,5}}(?![^\W{wide}]))?+(?:/{_ADDRESS}*+)?+(?!@)"
    local = rf"[^\W{wide}](?:[^\W{wide}]|[.+-]){{0,63}}+"
    return re.compile(host), re.compile(rf"{before}(?i:mailto:)?+({local})@({label}(?:\.{label})++)")


def _says(language: str) -> tuple[str, str, str, str, str, str]:
    return _SAYS.get(language.lower().partition("-")[0], _SAYS["en"])


def _is_host(address: str) -> bool:
    host = address.partition("/")[0].partition(":")[0]
    return host.rpartition(".")[2] in _DOMAINS and not host.partition(".")[0].isdigit()


def _url(address: str, language: str) -> str:
    address, rest = _without_trailing(address)
    _, scheme, bare = address.rpartition("://") if "://" not in address[8:] else ("", "", address.split("://", 2)[1])
    bare = bare if scheme or "://" in address else address
    place, _, query = bare.partition("?")
    place = place.partition("#")[0]
    host, _, path = place.partition("/")
    host = host.rpartition("@")[2].partition(":")[0]
    if host[:4].lower() == "www.":
        host = host[4:]
    dot, slash, *_ = _says(language)
    labels = [label for label in host.split(".") if label]
    said = f" {dot} ".join(labels[:8]) if host else _words(path, dot)
    if host and path and not query and len(path) <= _LONGEST_PATH and "%" not in path:
        segments = [_words(segment, dot) for segment in path.split("/") if segment]
        if len(segments) <= 3 and all(any(map(str.isalnum, segment)) for segment in segments):
            said = f" {slash} ".join([said, *segments])
    return (said + rest) if said else rest


def _words(segment: str, dot: str) -> str:
    return " ".join(segment.replace(".", f" {dot} ").replace("-", " ").replace("_", " ").replace("~", " ").split())[
        :_LONGEST_PATH
    ]


def _without_trailing(address: str) -> tuple[str, str]:
    end = len(address.rstrip(_TRAILING))
    while end and (address[end - 1] == ")" or address[end - 1] == "]"):
        opener = "(" if address[end - 1] == ")" else "["
        if opener in address[:200]:
            break
        end = len(address[: end - 1].rstrip(_TRAILING + ")]"))
    return address[:end], address[end:]


def _email(local: str, host: str, language: str) -> str:
    dot, _, at, dash, underscore, plus = _says(language)
    for sign, said in ((".", dot), ("-", dash), ("_", underscore), ("+", plus)):
        local = local.replace(sign, f" {said} ")
    return f"{' '.join(local.split())} {at} {host.replace('.', f' {dot} ')}"
