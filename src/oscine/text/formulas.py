"""Formulas in LaTeX as plain signs, which engines read better than commands."""

from __future__ import annotations

import re
from functools import cache
from typing import Final


def plain_formulas(text: str) -> str:
    """The text with formulas of LaTeX, between dollars or its brackets, in plain signs; amounts of dollars stay."""
    if "\\" in text:
        text = _BRACKETED.sub(lambda found: _plain(found[1] or found[2]), text)
    if "$" in text:
        text = _BETWEEN_DOLLARS.sub(_between_dollars, text)
    if "\\" not in text or not any(found[1] in _SIGNS or found[1] in _WITH_BRACES for found in _COMMAND.finditer(text)):
        return text
    return _commands(text) if _PROSE.search(text) else _plain(text)


_BRACKETED: Final = re.compile(
    r"\\\(([^\n\\]{0,300}(?:\\[^\n()\[\]][^\n\\]{0,300}){0,60})\\\)|\\\[([^\n\\]{0,300}(?:\\[^\n()\[\]][^\n\\]{0,300}){0,60})\\\]"
)
_BETWEEN_DOLLARS: Final = re.compile(r"(?<![\w$\\])(\${1,2})(?=[^\s$])([^$\n]{1,400}+)(?<=[^\s\\])\1(?![\w$])")
_SURE: Final = re.compile(r"[\\^_=]")
_COMMAND: Final = re.compile(r"(?<![\w:])\\([A-Za-z]{2,20})(?![A-Za-z])")
_WITH_BRACES: Final = frozenset(("frac", "dfrac", "tfrac"))
_PROSE: Final = re.compile(r"(?<![\\{\w])[A-Za-z]{3,}")
_FRACTION: Final = re.compile(r"\\[dt]?frac ?\{([^{}]{1,100}+)\} ?\{([^{}]{1,100}+)\}")
_ROOT: Final = re.compile(r"\\sqrt ?\{([^{}]{1,100}+)\}")
_WORDS: Final = re.compile(
    r"\\(?:text|mathrm|mathbf|mathit|operatorname|textbf|textit|emph|boxed|mathbb|mathcal) ?\{([^{}]{0,200}+)\}"
)
_RAISED: Final = re.compile(r"\^(?:\{ ?(-?\d{1,9}) ?\}|(\d))")
_SHIFTED: Final = re.compile(r"([\^_])\{([^{}]{1,60}+)\}")
_SUPERSCRIPTS: Final = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
_SIGNS: Final = {
    "times": "×", "cdot": "·", "div": "÷", "pm": "±", "leq": "≤", "le": "≤", "geq": "≥", "ge": "≥",
    "neq": "≠", "ne": "≠", "approx": "≈",
    "infty": "∞", "sum": "∑", "int": "∫", "partial": "∂", "in": "∈", "to": "→", "rightarrow": "→",
    "implies": "⇒", "Rightarrow": "⇒", "sqrt": "√", "therefore": "∴", "degree": "°", "circ": "°", "ldots": "…",
    "dots": "…", "cdots": "…", "percent": "%", "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε",
    "varepsilon": "ε", "zeta": "ζ", "eta": "η", "theta": "θ", "kappa": "κ", "lambda": "λ", "mu": "μ", "nu": "ν",
    "xi": "ξ", "pi": "π", "rho": "ρ", "sigma": "σ", "tau": "τ", "phi": "φ", "varphi": "φ", "chi": "χ", "psi": "ψ",
    "omega": "ω", "Gamma": "Γ", "Delta": "Δ", "Theta": "Θ", "Lambda": "Λ", "Sigma": "Σ", "Phi": "Φ", "Psi": "Ψ",
    "Omega": "Ω", "sin": "sin", "cos": "cos", "tan": "tan", "log": "log", "ln": "ln", "lim": "lim", "max": "max",
    "min": "min", "exp": "exp", "quad": " ", "qquad": " ", "left": "", "right": "", "big": "", "Big": "",
    "displaystyle": "",
}  # fmt: skip
"""By command; LaTeX2e, and amsmath's text operators."""


def _between_dollars(found: re.Match[str]) -> str:
    inside = found[2]
    if _SURE.search(inside) or (len(found[1]) == 2) or (inside.isalpha() and len(inside) <= 2):
        return _plain(inside)
    return found[0]


def _plain(formula: str) -> str:
    formula = _RAISED.sub(lambda found: (found[1] or found[2]).translate(_SUPERSCRIPTS), _commands(formula))
    formula = _SHIFTED.sub(lambda found: (" ^ " if found[1] == "^" else " ") + found[2], formula)
    formula = re.sub(r"_(?=\w)", "", formula)
    return " ".join(re.sub(r"[{}]|\\[,;:! ]|\\$", " ", formula).split())


def _commands(text: str) -> str:
    for _ in range(3):  # they stand in one another
        text = _WORDS.sub(r"\1", _ROOT.sub(r"√\1", _FRACTION.sub(_fraction, text)))
    return _COMMAND.sub(lambda found: _SIGNS.get(found[1], found[0]), text)


def _fraction(found: re.Match[str]) -> str:
    above, below = (part if _simple().fullmatch(part) else f"({part})" for part in (found[1].strip(), found[2].strip()))
    return f"{above}/{below}"


@cache
def _simple() -> re.Pattern[str]:
    return re.compile(r"[\w.²³√]+|\\[A-Za-z]+")
