"""Who speaks with which voice."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from oscine.text.labels import canonical_label
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
        self._speakers = {canonical_label(label): prompt for label, prompt in speakers.items()}
        self._written = {canonical_label(label): _written(label) for label in speakers}
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

    def missing(self, heard: Collection[str]) -> list[str]:
        """The declared labels that are not among those in `heard`."""
        found = {canonical_label(label) for label in heard}
        return [written for label, written in self._written.items() if label not in found]

    def voice(self, speaker: str | None, warn: Callable[[str], None]) -> Prompt:
        """The voice of `speaker`; None is text without a label."""
        if speaker is None:
            return self._narrator
        label = canonical_label(speaker)
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


def _written(label: str) -> str:
    same = canonical_label(label)
    return same if same.isdigit() else _plain(label)


def _plain(label: str) -> str:
    return " ".join(label.strip().strip("[]").split())
