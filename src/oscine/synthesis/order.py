"""Who comes next: which utterances get a lane, and which lanes are advanced.

A listener's go by playout deadline: when would this client run dry? A file's go by when it was last served, plus some
patience, so that new listeners come first and books are not starved. What nobody waits for at this moment (files,
look-ahead, listeners with half a minute in hand) leaves a part of the lanes free, but always gets one. What was open
when the engine broke comes before all that, each alone, so that the guilty one harms no other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from oscine.engines.protocol import Lane
from oscine.synthesis.job import Job, Take


def most_urgent(jobs: Sequence[Job], rate: int) -> list[Take]:
    """The next utterance of each job that waits for a lane, the most urgent first; `rate` in Hz."""
    waiting = [
        (job._due(take, rate), order, take)
        for order, job in enumerate(jobs)
        if (take := job._next_waiting()) is not None and not job._far_ahead(take, rate)
    ]
    return [take for _, _, take in sorted(waiting, key=lambda entry: entry[:2])]


def suspects(jobs: Sequence[Job], rate: int) -> list[Take]:
    """Those that wait to be tried alone, the least suspect first: an innocent one ends a row of reloads."""
    waiting = [
        (take._broke, order, take)
        for order, job in enumerate(jobs)
        for take in job._takes
        if take._suspect and take._lane is None and not take._over and not job._far_ahead(take, rate)
    ]
    return [take for _, _, take in sorted(waiting, key=lambda entry: entry[:2])]


def has_room(take: Take, taken: Mapping[Lane, Take], lanes: int, rate: int) -> bool:
    """Whether the take may have one of the engine's `lanes` now; a quarter, at least one, is for those who wait."""
    if len(taken) >= lanes:
        return False
    if not take._job._patient(take, rate):
        return True
    return len(taken) < lanes - max(1, lanes // 4) or not any(
        other._job._patient(other, rate) for other in taken.values()
    )


def lanes_to_step(taken: Mapping[Lane, Take], rate: int, *, crowded: bool) -> list[Lane]:
    """The lanes to advance, the most urgent first.

    Those whose reader has enough waiting pause, except where others wait for their places.
    """
    eligible = [
        (take._job._due(take, rate), order, lane)
        for order, (lane, take) in enumerate(taken.items())
        if crowded or not take._job._far_ahead(take, rate)
    ]
    return [lane for _, _, lane in sorted(eligible, key=lambda entry: entry[:2])]
