"""Abbreviations of languages other than English: after them a dot ends no sentence."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

Pattern = re.Pattern[str]


@cache
def abbreviations(language: str) -> tuple[Pattern | None, Pattern | None]:
    """Of a language: what ends with a title or the like, and with what stands before a number or a bracket."""
    return _after(_TITLES.get(language)), _after(_PARTS.get(language))


def _after(words: str | None) -> Pattern | None:
    return re.compile(rf"(?:^|[\s(\[\"'“„«»’.-])(?:{words})\.$") if words else None


_TITLES: Final = {
    "de": "Hr|Hrn|Fr|Frl|Dr|Prof|Fa|St|Mag|Dipl|Ing|Hl|Gebr|Kgl|Jh|Bd|Nr|Abs|Art|Kap|Abb|Tab|Str|bzw|evtl|ggf|inkl|sog"
    "|zzgl|Tel|Hrsg|Vgl|vgl",
    "fr": "M|MM|Mme|Mmes|Mlle|Mlles|Me|Mgr|Dr|Pr|St|Ste|Cie|Gal|Col|Cdt|Cap|Lt|av|apr|bd|pl",
    "es": "Sr|Sra|Sres|Sras|Srta|D|Da|Dña|Dª|Dr|Dra|Prof|Profa|Lic|Ing|Arq|Gral|Cnel|Cap|Cía|Sto|Sta|Ud|Uds|Vd|Vds|Avda"
    "|Av|Mons|Excmo|Excma|Ilmo|EE|FF|JJ",
    "it": "sig|Sig|sigg|Sigg|ra|na|dott|Dott|ssa|prof|Prof|avv|Avv|ing|Ing|arch|Arch|geom|rag|on|On|mons|Mons|Spett"
    "|Gent|Egr|Ill|S|SS|fra|don",
    "pt": "Sr|Sra|Srs|Sras|Srta|Dr|Dra|Drs|Prof|Profa|Eng|Exmo|Exma|Ilmo|V|D|Av|R|Gen|Cel|Cap|Sto|Sta|Exa|Cia",
    "nl": "dhr|mevr|mw|mr|dr|drs|ir|ing|prof|St|jhr|ds",
    "pl": "ul|al|pl|os|prof|dr|mgr|inż|hab|św|ks|gen|płk|mjr|kpt|por|im|red|tzw|Tzw|np|m|o",
    "ru": "ул|пр|просп|пер|пл|наб|бул|им|проф|Проф|акад|доц|тов|св|оз|пос|р|гр|ген|полк|кап|лейт|напр|мр|г-н|см|См|др",
    "uk": "вул|просп|пров|пл|ім|проф|акад|доц|св|оз|напр|див",
    "tr": "Dr|Prof|Doç|Av|Sn|Hz|Yrd|Öğr|Gör|Cad|Sok|Mah|Bul|Apt|Blv",
    "vi": "TS|ThS|GS|PGS|BS|KS|LS|CN|TP|Tp|TX|Q|P|NSND|NSƯT|Mr|Mrs|Dr",
    "cs": "p|pí|sl|Ing|Mgr|Bc|MUDr|JUDr|PhDr|RNDr|prof|doc|sv|ul|nám|tř|např|tzv",
    "sv": "t|ex|bl|dr|prof|kl|tel|nr",
    "da": "hr|fru|dr|prof|kl|nr|tlf|ca",
    "ar": "د|أ|م|ص|ج|ق|ت|هـ",
    "hi": "डॉ|डा|श्री|प्रो|पं|कु|सं|लि|स्व|मो",
}
"""Abbreviations after which no sentence ends."""
_PARTS: Final = {
    "de": "S|Seite|Bsp|ca|Ca|Aufl|Az|Rn|Mio|Mrd",
    "fr": "p|pp|art|Art|chap|fig|vol|t|éd|env|n|no|tél|s|liv",
    "es": "pág|págs|p|pp|núm|núms|art|arts|cap|caps|vol|vols|fig|figs|aprox|tel|s|ss|n|No|Nº",
    "it": "pag|pagg|p|pp|art|artt|cap|capp|vol|voll|fig|figg|n|nn|tav|par|tel|sec|ca|segg",
    "pt": "pág|págs|p|pp|art|arts|cap|caps|vol|vols|fig|figs|n|séc|sécs|tel|aprox",
    "nl": "blz|p|nr|art|afb|fig|hfst|tel|ca",
    "pl": "str|s|nr|zob|t|rozdz|rys|tab|art|ust|poz|ok|godz|tel|w",
    "ru": "с|С|стр|рис|Рис|табл|Табл|гл|т|ст|п|пп|д|кв|к|стр|корп|оф|тел|см|См|ок|разд|изд|вып|№",
    "uk": "с|стор|рис|табл|гл|т|ст|п|буд|кв|тел|див|бл",
    "tr": "No|s|sf|bkz|Bkz|md|c|yy|tel",
    "vi": "tr|số|Số|ch|điều",
    "cs": "č|str|s|obr|tab|kap|čl|odst|tel|r|cca",
    "sv": "s|sid|kap|fig|tab|nr|ca",
    "da": "s|kap|fig|tab|nr|ca",
}
"""Abbreviations before a number or a bracket."""
