"""Who speaks with which voice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from oscine.voices.prompt import Prompt


class Cast:
    """The voices of a request: one for text without a label, one for each declared speaker, understudies for the rest.

    A speaker that the script names but the request does not gets the first voice nobody else has; when there are no
    more voices, the narrator's.
    """

    def __init__(
        self, narrator: Prompt, speakers: Mapping[str, Prompt], understudies: Callable[[], Sequence[Prompt]]
    ) -> None:
        self._narrator = narrator
        self._speakers = {canonical(label): prompt for label, prompt in speakers.items()}
        self._written = {canonical(label): _written(label) for label in speakers}
        self._found: dict[str, Prompt] = {}
        self._understudies = understudies

    @property
    def labels(self) -> tuple[str, ...]:
        """The declared speaker labels as they were written, for captions show them."""
        return tuple(self._written.values())

    @property
    def prompts(self) -> tuple[Prompt, ...]:
        """All voices that are known so far, the narrator's first."""
        return (self._narrator, *self._speakers.values(), *self._found.values())

    def voice(self, speaker: str | None, warn: Callable[[str], None]) -> Prompt:
        """The voice of `speaker`; None is text without a label."""
        if speaker is None:
            return self._narrator
        label = canonical(speaker)
        known = self._speakers.get(label) or self._found.get(label)
        return known or self._assign(label, warn)

    def _assign(self, label: str, warn: Callable[[str], None]) -> Prompt:
        taken = {prompt.key for prompt in (*self._speakers.values(), *self._found.values())}
        if self._narrator.key not in taken and not self._speakers:
            prompt = self._narrator
        else:
            free = [prompt for prompt in self._understudies() if prompt.key not in taken]
            if free:
                prompt = free[0]
            else:
                prompt = self._narrator
                warn("There are fewer voices than speakers, so some speakers share one; name their voices with voices.")
        self._found[label] = prompt
        return prompt


def canonical(label: str) -> str:
    """One spelling for labels that mean the same: `Speaker 1`, `speaker 1` and `[1]` are `1`."""
    plain = _plain(label).casefold()
    number = plain.removeprefix("speaker").strip()
    return number if number.isdigit() else plain


def _written(label: str) -> str:
    same = canonical(label)
    return same if same.isdigit() else _plain(label)


def _plain(label: str) -> str:
    return " ".join(label.strip().strip("[]").split())
