"""Names that somebody might try."""

from __future__ import annotations

from hypothesis import strategies as st

FRAGMENTS = [
    *(
        "..",
        ".",
        "/",
        "\\",
        "%2e",
        "%2f",
        "%00",
        "\0",
        "C:",
        "~",
        "$HOME",
        "voice",
        "CON",
        "nul",
        ".wav",
        " ",
        "-",
        "\n",
    ),
    *("\u2024", "\u2215", "\uff0f", "\uff0e", "\u202e", "\ud800", "é", "e\u0301", "字", "\U0001f426", "a" * 90),
]
NAMES = st.one_of(
    st.lists(st.sampled_from(FRAGMENTS), max_size=8).map("".join),
    st.text(max_size=120),
    st.text(alphabet="aB9._- ", max_size=110),
)
WANTED = st.one_of(
    st.lists(st.sampled_from([*FRAGMENTS, "secret", "linked", "inner", "voices2", "s", "v"]), max_size=8).map("".join),
    st.text(max_size=40),
    st.sampled_from(["../secret", "/etc/passwd", "linked/secret", "inner/secret", "..\\secret", "file:///secret.wav"]),
)
