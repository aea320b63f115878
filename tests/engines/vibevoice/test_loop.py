"""The loop says what `generate()` says, each lane as if it were alone, without ever asking the device for a value."""

from __future__ import annotations

from collections import Counter
from functools import cache
from itertools import pairwise
from typing import Any

import diffusers
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from oscine.engines.vibevoice import attention
from oscine.engines.vibevoice.fused import fuse
from oscine.engines.vibevoice.lanes import Lanes, Wish
from oscine.engines.vibevoice.sampler import sampler_of
from oscine.errors import InvalidRequest
from tests.engines.vibevoice import tiny
from tests.engines.vibevoice.reference import Line, apart, begin, generated, joined, lanes, spoken, wish

CLOSE = 1e-4
"""So far apart the same sound may be; its loud samples are near 0.3."""
STOP, BEGIN, END, SPEAK = 256, 257, 258, 259
ONLY_SPEECH = (STOP, BEGIN, END)
SCRIPTS: dict[str, list[Line]] = {
    "no voice": [("a", "Nobody in particular says this.", None)],
    "one": [("a", "Hello there, this is a test.", tiny.voice(220))],
    "two": [
        ("a", "The first voice speaks for a while.", tiny.voice(220, 1.3)),
        ("b", "The second one answers.", tiny.voice(330, 2.5)),
        ("a", "And again.", None),
    ],
    "four": [
        (label, f"Voice {label} says something of its own.", tiny.voice(hertz, seconds))
        for label, hertz, seconds in (("a", 220, 1.3), ("b", 330, 2.0), ("c", 165, 0.7), ("d", 262, 1.0))
    ],
}


@cache
def model(stop: float = 1.6) -> Any:
    return tiny.model(stop=stop)


@cache
def processor() -> Any:
    return tiny.processor()


def both(script: str, *, token_guidance: bool = False, **how: Any) -> tuple[float, bool, int]:
    """How far the sounds are apart, whether the tokens are the same, and how many there are."""
    made = {"frames": 80} | how
    sound, tokens = generated(model(), processor(), SCRIPTS[script], token_guidance=token_guidance, **made)
    forced = made.pop("forced", None)
    ours, our_tokens = spoken(
        lanes(model(), token_guidance=token_guidance), wish(model(), processor(), SCRIPTS[script], **made), forced
    )
    return apart(sound, ours), tokens == our_tokens, len(tokens)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("guidance", [1.0, 1.3, 2.0])
@pytest.mark.parametrize("script", SCRIPTS)
def test_it_says_what_generate_says_and_ends_where_it_ends(script: str, guidance: float, seed: int) -> None:
    far, same, _ = both(script, seed=seed, guidance=guidance)
    assert same
    assert far < CLOSE


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_length_that_is_forced_is_kept(script: str) -> None:
    far, same, count = both(script, seed=4, frames=24, banned=ONLY_SPEECH)
    assert same
    assert count == 24
    assert far < CLOSE


@pytest.mark.parametrize("script", SCRIPTS)
def test_with_token_guidance_it_chooses_as_generate_does(script: str) -> None:
    far, same, _ = both(script, seed=0, guidance=1.8, token_guidance=True)
    assert same
    assert far < CLOSE


@pytest.mark.parametrize("steps", [1, 2, 5, 20])
def test_any_number_of_steps(steps: int) -> None:
    far, same, _ = both("one", seed=3, frames=12, banned=ONLY_SPEECH, steps=steps)
    assert same
    assert far < CLOSE


SCHEDULE = {"beta_schedule": "squaredcos_cap_v2", "prediction_type": "v_prediction"}
SCHEDULERS = {
    "DPM of order 3": diffusers.DPMSolverMultistepScheduler(solver_order=3, **SCHEDULE),
    "DDIM": diffusers.DDIMScheduler(clip_sample=False, **SCHEDULE),
    "UniPC": diffusers.UniPCMultistepScheduler(**SCHEDULE),
}


@pytest.mark.parametrize("name", SCHEDULERS)
def test_other_schedulers_of_diffusers(name: str) -> None:
    far, _, _ = both("one", seed=3, frames=12, banned=ONLY_SPEECH, scheduler=SCHEDULERS[name])
    assert far < CLOSE


@pytest.mark.parametrize("algorithm", ["dpmsolver++", "sde-dpmsolver++"])
def test_every_number_of_steps_that_a_request_may_have_is_a_table(algorithm: str) -> None:
    scheduler = diffusers.DPMSolverMultistepScheduler(algorithm_type=algorithm, **SCHEDULE)
    assert all(sampler_of(scheduler, steps).steps == steps for steps in (*range(1, 21), 50, 99, 100))


def test_the_stochastic_variant_of_the_scheduler() -> None:
    scheduler = diffusers.DPMSolverMultistepScheduler(algorithm_type="sde-dpmsolver++", **SCHEDULE)
    how: Any = {"seed": 3, "frames": 12, "banned": ONLY_SPEECH, "scheduler": scheduler}
    sound, _ = generated(model(), processor(), SCRIPTS["one"], **how)
    ours, _ = spoken(lanes(model(), steps=10, noises=10), wish(model(), processor(), SCRIPTS["one"], **how))
    assert apart(sound, ours) < CLOSE


def test_a_scheduler_that_no_table_can_hold_is_refused() -> None:
    thresholding = diffusers.DPMSolverMultistepScheduler(thresholding=True, **SCHEDULE)
    with pytest.raises(InvalidRequest, match="steps"):
        sampler_of(thresholding, 10)


SPOKEN = [SPEAK]


@pytest.mark.parametrize(
    "tokens",
    [
        SPOKEN * 5 + [BEGIN] + SPOKEN * 6,
        SPOKEN * 4 + [END, BEGIN] + SPOKEN * 5,
        SPOKEN * 4 + [END] + SPOKEN * 5,
        [BEGIN, *SPOKEN * 6],
        [END, *SPOKEN * 6],
        [SPEAK, SPEAK, BEGIN, BEGIN, SPEAK, SPEAK, END, BEGIN, SPEAK],
        [STOP],
    ],
)
def test_any_order_of_tokens(tokens: list[int]) -> None:
    far, _, _ = both("one", seed=3, frames=len(tokens), forced=tokens)
    assert far < CLOSE


def test_a_prompt_may_be_read_in_parts() -> None:
    how: Any = {"seed": 3, "frames": 12, "banned": ONLY_SPEECH}
    whole, _ = spoken(lanes(model()), wish(model(), processor(), SCRIPTS["two"], **how))
    parts, _ = spoken(lanes(model(), prefill_tokens=17), wish(model(), processor(), SCRIPTS["two"], **how))
    assert apart(whole, parts) < CLOSE


def test_kernels_in_place_of_what_is_written_out_say_the_same_in_the_loop_and_in_generate() -> None:
    how: Any = {"seed": 3, "frames": 20, "banned": ONLY_SPEECH}
    before, _ = generated(model(), processor(), SCRIPTS["two"], **how)
    faster = tiny.model(stop=1.6)
    attention.use_in(faster.model.language_model)
    fuse(faster)
    ours, _ = spoken(lanes(faster), wish(faster, processor(), SCRIPTS["two"], **how))
    theirs, _ = generated(faster, processor(), SCRIPTS["two"], **how)
    assert apart(before, ours) < CLOSE
    assert apart(before, theirs) < CLOSE


@pytest.mark.parametrize(
    "fault",
    [
        lambda among: [keys[1].zero_() for keys in among.state.memory.keys],
        lambda among: [values[0, 5].zero_() for values in among.state.memory.values],
        lambda among: among.state.decoding.clear(0),
        lambda among: among.state.encoding.clear(0),
        lambda among: among.state.guidance.fill_(1.31),
        lambda among: among.state.length[1].clamp_(max=3),
    ],
)
def test_a_fault_would_be_seen(fault: Any) -> None:
    wished = wish(model(), processor(), SCRIPTS["one"], seed=3, frames=20, banned=ONLY_SPEECH)
    right, _ = spoken(lanes(model()), wished)
    among = lanes(model())
    begin(among, among.take(), wished)
    parts = []
    for _ in range(20):
        parts += [said.samples for said in among.advance([0]) if said.samples is not None]
        fault(among)
    assert apart(right, joined(parts)) > 3 * CLOSE


def wishes(count: int) -> list[Wish]:
    names = list(SCRIPTS)
    return [
        wish(
            model(),
            processor(),
            SCRIPTS[names[index % 4]],
            seed=index,
            guidance=(1.3, 1.8)[index % 2],
            steps=(10, 4, 7)[index % 3],
            frames=(30, 60, 12, 45)[index % 4],
            banned=ONLY_SPEECH if index % 3 else (),
        )
        for index in range(count)
    ]


def run(among: Lanes, wanted: list[Wish]) -> list[torch.Tensor | None]:
    """Speak all, each as soon as a lane is free, its prompt read while others speak."""
    waiting, parts = list(enumerate(wanted)), [list[Any]() for _ in wanted]
    busy: dict[int, int] = {}
    while waiting or busy:
        if waiting and among.free:
            index, next_wish = waiting.pop(0)
            lane = among.take()
            busy[lane] = index
            among.begin(lane, next_wish)
        for lane in busy:
            if not among.is_prefilled(lane):
                among.prefill(lane)
                break
        for said in among.advance(list(busy)):
            if said.samples is not None:
                parts[busy[said.lane]].append(said.samples)
            if said.over:
                among.release(said.lane)
                del busy[said.lane]
    return [joined(part) for part in parts]


def test_a_lane_among_others_says_what_it_says_alone() -> None:
    wanted = wishes(11)
    together = run(lanes(model(), 4, prefill_tokens=40), wanted)
    for wished, sound in zip(wanted, together, strict=True):
        assert apart(spoken(lanes(model()), wished)[0], sound) < CLOSE


def test_reading_a_frame_while_the_next_one_runs_changes_nothing() -> None:
    wanted = wishes(9)
    at_once = run(lanes(model(), 3, prefill_tokens=40), wanted)
    late = lanes(model(), 3, prefill_tokens=40)
    late._late = True
    assert all(apart(one, other) < CLOSE for one, other in zip(at_once, run(late, wanted), strict=True))


def test_a_lane_that_comes_late_and_a_neighbour_that_leaves_change_nothing() -> None:
    alone, _ = spoken(lanes(model()), wishes(3)[2])
    among = lanes(model(), 4)
    for wished in (wishes(2)[1], wishes(2)[1]):
        begin(among, among.take(), wished)
    mine, parts = -1, []
    for frame in range(40):
        if frame == 7:
            mine = among.take()
            begin(among, mine, wishes(3)[2])
        if frame == 11:
            among.release(0)
        if frame == 13:
            assert among.take() == 0
            begin(among, 0, wishes(4)[3])
        for said in among.advance(
            [lane for lane in (0, 1, mine) if lane >= 0 and not (lane == 0 and 11 <= frame < 13)]
        ):
            if said.lane == mine and said.samples is not None:
                parts.append(said.samples)
    assert apart(alone, joined(parts)) < CLOSE


def test_a_lane_that_is_not_wanted_stands_still_and_goes_on_where_it_was() -> None:
    wished = wish(model(), processor(), SCRIPTS["two"], seed=5, frames=12, banned=ONLY_SPEECH)
    alone, _ = spoken(lanes(model()), wished)
    among = lanes(model(), 2)
    first, second = among.take(), among.take()
    begin(among, first, wished)
    begin(among, second, wishes(2)[1])
    parts = []
    for wanted in [(first, second)] * 4 + [(second,)] * 5 + [(first,)] * 8:
        parts += [said.samples for said in among.advance(wanted) if said.lane == first and said.samples is not None]
    assert apart(alone, joined(parts)) < CLOSE


def test_a_lane_may_be_filled_to_its_last_slot() -> None:
    wished = wish(model(), processor(), SCRIPTS["one"], seed=3, frames=20, banned=ONLY_SPEECH)
    right, _ = spoken(lanes(model()), wished)
    exact = lanes(model(), 2, slots=len(wished.prompt) + 20)
    assert apart(right, spoken(exact, wished)[0]) < CLOSE
    with pytest.raises(ValueError, match="fit"):
        lanes(model(), 1, slots=len(wished.prompt) + 19).begin(0, wished)


def test_what_is_no_number_stays_in_its_lane_and_goes_with_it() -> None:
    among = lanes(model(), 2)
    wished = wish(model(), processor(), SCRIPTS["one"], seed=3, frames=20, banned=ONLY_SPEECH)
    right, _ = spoken(lanes(model()), wished)
    bad, good = among.take(), among.take()
    for lane in (bad, good):
        begin(among, lane, wished)
    parts = []
    for frame in range(20):
        if frame == 5:
            among.state.inputs[2 * bad] = torch.nan
        parts += [said.samples for said in among.advance([bad, good]) if said.lane == good and said.samples is not None]
    assert apart(right, joined(parts)) < CLOSE
    among.release(bad, clean=True)
    assert apart(right, spoken(among, wished)[0]) < CLOSE


class Watched(TorchDispatchMode):
    """Counts the operations that make the host wait for a value."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.waited: Counter[str] = Counter()
        self.count = 0

    def __torch_dispatch__(self, operation: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = operation._schema.name.split("::")[1]
        self.count += 1
        if name in ("_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal", "_unique2"):
            self.waited[name] += 1
        if name in ("index", "index_put", "index_put_") and any(
            index is not None and index.dtype == torch.bool for index in args[1]
        ):
            self.waited[name] += 1
        return operation(*args, **(kwargs or {}))


def test_nothing_in_a_frame_makes_the_host_wait() -> None:
    among = lanes(model(), 2)
    begin(among, among.take(), wishes(1)[0])
    with torch.inference_mode(), Watched() as watched:
        among.frame(2, 256, 10)
    assert watched.count > 100
    assert not watched.waited


@pytest.mark.long
def test_a_frame_is_one_graph() -> None:
    import torch._dynamo

    wanted = [
        wish(model(), processor(), SCRIPTS[script], seed=3, steps=4, frames=9, banned=ONLY_SPEECH)
        for script in ("one", "two")
    ]
    plain = run(lanes(model(), 2), wanted)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    among = lanes(model(), 2)
    among.compile(backend="aot_eager")
    compiled = run(among, wanted)
    assert not torch._dynamo.utils.counters["graph_break"]
    assert all(apart(one, other) < CLOSE for one, other in zip(plain, compiled, strict=True))


def test_the_audio_context_may_be_forgotten_where_audio_ends() -> None:
    tokens = SPOKEN * 4 + [END, BEGIN] + SPOKEN * 5
    wished = wish(model(), processor(), SCRIPTS["one"], seed=3, frames=len(tokens))
    kept, _ = spoken(lanes(model()), wished, tokens)
    forgotten, _ = spoken(lanes(model(), forget_at_end=True), wished, tokens)
    assert kept is not None
    assert forgotten is not None
    frames = [apart(one, other) for one, other in zip(kept.split(3200), forgotten.split(3200), strict=True)]
    assert max(frames[:4]) == 0
    assert frames[4] > CLOSE


def test_lengths_of_prompts_do_not_matter_to_the_order_of_frames() -> None:
    """The samples of a lane come in order, a hop each."""
    among = lanes(model())
    begin(among, among.take(), wish(model(), processor(), SCRIPTS["one"], seed=3, frames=20, banned=ONLY_SPEECH))
    counts = [among.state.spoken[0].item()]
    for _ in range(20):
        assert all(said.samples is not None and len(said.samples) == 3200 for said in among.advance([0]))
        counts.append(among.state.spoken[0].item())
    assert all(after == before + 1 for before, after in pairwise(counts))
