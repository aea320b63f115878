"""What Markdown and HTML say when they are read aloud.

Rules of ours over lines: a Markdown parser wants the whole document, takes indented verse for code, and costs a short
command more time than it has.
"""

from __future__ import annotations

import re
from typing import Final, Literal

from oscine.text.formulas import plain_formulas
from oscine.text.marks import SIGNS, masked

Mark = Literal["text", "item", "title", "heading", "row", "rule", "gap", "nothing"]


def classify(line: str) -> tuple[Mark, str]:
    """What a line is, and its text without the marks of blocks.

    `title`: a heading of the first level; `gap`: a blank line or an underline; `rule`: a line across the page, or stars
    between scenes; `nothing`: a line that leaves no trace, such as a link's definition.
    """
    bare = line.strip()
    quoted = False
    while bare.startswith(">") and (bare[1:2] in " >" or bare == ">") and len(line) - len(bare) < 100:
        bare, quoted = bare[1:].lstrip(), True
    if not bare or _RULE.fullmatch(bare):
        return "rule" if bare[:1] and bare[0] in _ACROSS else "gap", ""
    if _DEFINITION.match(bare) or _PAGE.fullmatch(bare):
        return "nothing", ""
    if found := _ALERT.fullmatch(bare):
        return "text", f"{found[1].capitalize()}: {found[2]}"
    if found := _FENCED.fullmatch(bare):
        title = found[1] or found[2]
        return ("heading", title) if title else ("nothing", "")
    if found := _HEADING.match(bare):
        bare = _HEADING_MARK.sub("", bare)
        mark: Mark = "title" if found[0].rstrip() == "#" else "heading"
        return mark, bare[found.end() :].rstrip("#").rstrip() if bare.endswith("#") and " #" in bare else bare[
            found.end() :
        ]
    if bare.startswith("|"):
        return ("nothing", "") if is_delimiter(bare) else ("row", table_row(bare))
    if found := _BULLET.match(bare):
        return "item", bare[found.end() :]
    if found := _NUMBERED.match(bare):
        return "item", f"{found[1]}, {bare[found.end() :]}"
    line = bare if quoted else line.rstrip()
    return "text", line[:-1] if line.endswith("\\") and not line.endswith("\\\\") else line


def is_delimiter(line: str) -> bool:
    """Whether `line` is the row of dashes under the head of a table."""
    return "|" in line and "-" in line and not line.strip("|-: \t")


def table_row(line: str) -> str:
    """The cells of a row as a sentence."""
    line = line.strip()
    bars = [found.start() for found in _BAR.finditer(masked(line))]
    cells = [line[start + 1 : end] for start, end in zip([-1, *bars], [*bars, len(line)], strict=True)]
    cells = [cell.replace("\\|", "|").strip() for cell in cells]
    row = ", ".join(cell.rstrip(".,;") for cell in cells if cell)
    return f"{row}." if row else ""


def split_tags(line: str) -> list[str]:
    """`line` cut where an HTML tag starts a new line."""
    return _BLOCK_TAG.split(line) if "<" in line else [line]


def strip_inline(text: str) -> str:
    """The text without inline marks of Markdown and HTML: links and code keep their text, images their description."""
    if not _ANY.search(text):
        return text
    if "\\" in text or "$" in text:
        text = plain_formulas(text)
    if "[[" in text:
        text = _WIKI_LINK.sub(lambda found: "" if found[0][0] == "!" else found[2] or found[1], text)
    if "](" in text or "][" in text or "[^" in text:
        text = _IMAGE_REFERENCE.sub(r" \1 ", _IMAGE.sub(r" \1 ", text))
        text = _LINK.sub(r"\1", _LINK.sub(r"\1", text))
        text = _FOOTNOTE.sub("", _REFERENCE.sub(r"\1", text))
    text = _INLINE.sub(_inline, text)
    if "&" in text:
        text = _ENTITY.sub(_entity, text)
    return text


_BAR: Final = re.compile(r"(?<!\\)\|")
_RULE: Final = re.compile(
    r"(?:\*[ \t]*+){3,}+|(?:-[ \t]*+){3,}+|(?:_[ \t]*+){3,}+|={3,}+|~{3,}+|`{3,}+|(?:[#+•·─━═][ \t]*+){3,}+"
    r"|(?:[⁂❦❧☙✻✽◆◇★☆※][ \t]*+){1,9}+"
)
_ACROSS: Final = "*-_#+•·─━⁂❦❧☙✻✽◆◇★☆※"
"""Signs of a rule; `=`, `~` and backticks only underline or enclose."""
_DEFINITION: Final = re.compile(
    r"\[[^\[\]]{1,200}+\]:\s*+<?(?:https?:|ftp:|www\.|mailto:|/|\./|\.\./|#|>)|\[{1,2}toc\]{1,2}$", re.IGNORECASE
)
_ALERT: Final = re.compile(
    r"\[!(note|tip|important|warning|caution|info|danger|abstract|question)\][+-]?\s*+(.*)", re.IGNORECASE
)
"""GitHub's and Obsidian's."""
_FENCED: Final = re.compile(
    r":{3,9}+ ?[a-z-]{0,20}+(?:\[([^\[\]]{1,100}+)\]| +(?!\{)(\S.{0,100}))?+(?: ?\{[^{}]{0,100}\})?"
)
"""The start and the end of a block between colons (Docusaurus, Pandoc), with its title."""
_PAGE: Final = re.compile(r"[-–—] ?\d{1,4} ?[-–—]|[Pp]age \d{1,4} (?:of|/) ?\d{1,4}")
"""The number of a page."""
_HEADING_MARK: Final = re.compile(r"(?<=\s)\{[#.][^{}]{1,80}+\}$")
_HEADING: Final = re.compile(r"#{1,6}+(?:[ \t]++|$)|#{2,6}+(?=[^\W\d_])")
_BULLET: Final = re.compile(r"[-*+•‣◦▪●○–·][ \t\xa0]++(?:\[[ xX]\][ \t]++)?(?=\S)|\[[ xX]\][ \t]++")
_NUMBERED: Final = re.compile(r"(\d{1,3})[.)][ \t]++(?:\[[ xX]\][ \t]++)?(?=\S)")
_FLAGS: Final = (
    "allowfullscreen|async|autofocus|autoplay|checked|compact|contenteditable|controls|crossorigin|default|defer|disabled|download|"
    "formnovalidate|hidden|inert|ismap|itemscope|loop|multiple|muted|nomodule|noshade|novalidate|nowrap|open|"
    "playsinline|readonly|required|reversed|selected"
)
"""Attributes without a value (HTML Living Standard, and some that older pages have); any other word is prose."""
_ATTRIBUTES: Final = (
    rf"(?:\s++(?:(?:{_FLAGS})(?=[\s/>])|[a-z_:@][\w:.@-]{{0,60}}+\s{{0,3}}+=\s{{0,3}}+"
    r"(?:\"[^\"<]{0,2000}+\"|'[^'<]{0,2000}+'|[“”][^“”<>]{0,500}+[“”]|[^\s\"'<>`]{1,500}+)))*+\s*+/?>"
)
"""The rest of a tag, by which it is told from `a<b and c>d`."""
_BLOCK_TAG: Final = re.compile(
    rf"</?(?:br|p|div|li|ul|ol|tr|h[1-6]|hr|blockquote|table|section|article|header|footer|html|head|title|body|main|nav|aside|figure|figcaption|dl|dt|dd|pre){_ATTRIBUTES}",
    re.IGNORECASE,
)
_ANY: Final = re.compile(r"[*_`~<&\\\]$]|==")
_WIKI_LINK: Final = re.compile(rf"!?\[\[([^\[\]|{SIGNS}]{{2,200}}+)(?:\|([^\[\]|]{{1,200}}+))?\]\](?!\()")
_TARGET: Final = (
    rf"\([ ]?<?[^()\s<>{SIGNS}]*+(?:\([^()\s<>{SIGNS}]{{0,200}}+\)[^()\s<>{SIGNS}]{{0,500}}+)?+>?"
    rf"(?:[ ]{{1,3}}(?:\"[^\"{SIGNS}]{{0,200}}+\"|'[^'{SIGNS}]{{0,200}}+'))?[ ]?\)"
)
_IMAGE: Final = re.compile(rf"!\[([^\[\]]{{0,500}}+)\]{_TARGET}")
_LINK: Final = re.compile(rf"\[([^\[\]]{{0,500}}+)\]{_TARGET}")
_REFERENCE: Final = re.compile(rf"\[([^\[\]]{{1,500}}+)\] ?\[[^\[\]{SIGNS}]{{0,100}}+\]")
_IMAGE_REFERENCE: Final = re.compile(rf"!\[([^\[\]]{{0,500}}+)\] ?\[[^\[\]{SIGNS}]{{0,100}}+\]")
_FOOTNOTE: Final = re.compile(rf"\[\^[^\[\]\s{SIGNS}]{{1,50}}+\]:?")
_ELEMENTS: Final = (
    "a|abbr|acronym|address|article|aside|b|bdi|bdo|big|blockquote|body|br|button|caption|center|cite|code|col|dd|del|details|dfn|div|dl|dt|em|"
    "figcaption|figure|font|footer|form|h[1-6]|head|header|hr|html|i|iframe|img|input|ins|kbd|label|li|main|mark|meta|nav|noscript|ol|option|p|picture|pre|q|rp|rt|ruby|s|"
    "samp|section|select|small|source|span|strike|strong|sub|summary|sup|svg|table|tbody|td|tfoot|th|thead|time|title|tr|tt|u|ul|var|video|wbr"
)
_INLINE: Final = re.compile(
    r"<(?P<link>(?:https?|ftp)://[^\s<>]++)>"
    r"|(?P<url>(?:https?://|ftp://)[^\s<>*`]++)"
    r"|(?P<escape>\\[\\`*_{}\[\]()#+\-.:!|~>\"'<&])"
    r"|(?<!`)(?P<ticks>`++)(?:(?P<code>[^`]{1,400}+)(?P=ticks)(?!`))?"
    rf"|<(?P<auto>[^\s<>@]{{1,64}}+@[^\s<>@]{{1,255}}+)>|</?(?P<tag>{_ELEMENTS}){_ATTRIBUTES}"
    r"|<(?P<declared>!doctype\s[^<>]{1,300}+|\?xml\s[^<>]{1,300}+)>"
    r"|(?P<comment><!--(?:(?!-->|<!--)(?s:.))*+-->)"
    r"|(?<![=\w])==(?P<marked>[^\s=](?:[^=\n]{0,300}+)(?<=\S))==(?![=\w])"
    r"|(?P<stars>\*++)|(?P<lines>_++)|(?P<strike>~~+)",
    re.IGNORECASE,
)
_ENTITY: Final = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_OPENING: Final = "\"'“‘«([{¿¡*_~`\\<"
_CLOSING: Final = "\"'”’»)]}.,;:!?…*_~`—–-"


def _inline(found: re.Match[str]) -> str:
    kind = found.lastgroup
    if kind == "link":
        return found["link"]
    if kind == "url":
        return found[0]
    if kind == "escape":
        return found[0][1]
    if kind in ("comment", "declared"):
        return " "
    if kind == "marked":
        return found["marked"]
    if kind == "code":
        return found["code"].strip()
    if kind == "ticks":
        return found[0] if _is_quote(found) else ""
    if kind == "auto":
        return found["auto"]
    if kind == "tag":
        return " " if found["tag"].lower() in ("br", "p", "div", "li", "td", "th", "tr") else ""
    if kind in ("stars", "lines"):
        return "" if _is_emphasis(found, word_only=kind == "lines") else found[0]
    return ""


def _is_quote(found: re.Match[str]) -> bool:
    """Whether backticks stand for quotes (``so'') or an apostrophe (don`t)."""
    before, after = found.string[max(0, found.start() - 1) : found.start()], found.string[found.end() : found.end() + 1]
    return (len(found[0]) == 2 and after.isalnum()) or (len(found[0]) == 1 and before.isalnum() and after.isalnum())


def _is_emphasis(found: re.Match[str], *, word_only: bool) -> bool:
    """Whether a run of `*` or `_` touches a word as emphasis does (CommonMark 6.2); its partner is not looked for."""
    before = found.string[max(0, found.start() - 1) : found.start()]
    after = found.string[found.end() : found.end() + 1]
    inside = before.isalnum() and after.isalnum()
    if inside:
        return not word_only and len(found[0]) > 1 and not (before.isdigit() and after.isdigit())
    opens = (after.isalnum() or (bool(after) and (after in _OPENING or after > "\u2e7f"))) and (
        not before or before.isspace() or not before.isalnum()
    )
    closes = bool(before.strip()) and (not after or after.isspace() or after in _CLOSING or not after.isascii())
    return opens or closes


def _entity(found: re.Match[str]) -> str:
    import html

    return html.unescape(found[0])
