"""The pages of the documentation: their blocks of code, tables, headings and links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@dataclass(frozen=True)
class Block:
    """A fenced block: ```` ```sh no-run: needs a sound device ````, ```` ```text file=play.txt ````."""

    page: Path
    line: int
    """Number of its first line in the page."""
    language: str
    note: str
    """What follows the language."""
    text: str

    @property
    def file(self) -> str | None:
        """The file that the block shows, if it shows one."""
        return self.note.removeprefix("file=") if self.note.startswith("file=") else None

    @property
    def reason(self) -> str | None:
        """Why the block is not run; None: it is."""
        return self.note.removeprefix("no-run").lstrip(": ") if self.note.startswith("no-run") else None

    @property
    def place(self) -> str:
        return f"{name(self.page)}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    opened: tuple[int, str, str] | None = None
    inside: list[str] = []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        if opened is None:
            if line.startswith("```") and "`" not in line[3:]:
                language, _, note = line[3:].strip().partition(" ")
                opened, inside = (number + 1, language, note.strip()), []
        elif line.startswith("```"):
            yield Block(page, *opened, "\n".join(inside) + "\n")
            opened = None
        else:
            inside.append(line)
    assert opened is None, f"{name(page)}: a block is not closed"


def prose(page: Path) -> str:
    """The page without its blocks."""
    return re.sub(r"(?ms)^```[^`\n]*$.*?^```$", "", page.read_text(encoding="utf-8"))


def tables(page: Path) -> Iterator[tuple[list[str], list[list[str]]]]:
    """Head and rows of each table; cells without the marks of code."""
    lines = prose(page).splitlines()
    for at in range(1, len(lines)):
        if re.fullmatch(r"\|(?: ?:?-+:? ?\|)+", lines[at]):
            rows = []
            for line in lines[at + 1 :]:
                if not line.startswith("|"):
                    break
                rows.append(_cells(line))
            yield _cells(lines[at - 1]), rows


def rows_of(page: Path, *head: str) -> list[list[str]]:
    """The rows of all tables whose head begins so."""
    found = [row for columns, rows in tables(page) if columns[: len(head)] == list(head) for row in rows]
    assert found, f"{name(page)} has no table {head}"
    return found


def anchors(page: Path) -> set[str]:
    """What links to the page's headings end with, as GitHub makes it."""
    found: set[str] = set()
    for heading in re.findall(r"(?m)^#{1,6} (.+)$", prose(page)):
        anchor = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        count = 0
        while (unique := f"{anchor}-{count}" if count else anchor) in found:
            count += 1
        found.add(unique)
    return found


def links(page: Path) -> list[str]:
    return re.findall(r"\]\(([^()\s]+)\)", re.sub(r"`[^`\n]+`", "", prose(page)))


def _cells(line: str) -> list[str]:
    cells = re.split(r"(?<!\\)\|", line.strip().strip("|"))
    return [cell.strip().replace("`", "").replace(r"\|", "|") for cell in cells]
