"""One frame of every lane: 133 ms of speech, as one straight line of tensor operations.

Nothing in it waits for the host, asks for a value or depends on one, so that it can be compiled whole and captured as
one CUDA graph. All it reads and writes lies in a `State`, whose tensors keep their place; lanes come and go between
frames by writing into them.

A lane has a prompted row and a guidance row in one pass of the language model. Both read the same input; the guidance
row knows nothing of the prompt, begins with a lone audio_bos, and grows only where the lane speaks. Read from
transformers 5.23.0, `models/vibevoice/generation_vibevoice.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional

from oscine.engines.vibevoice.memory import Contexts, KeyValues, OneToken


@dataclass(frozen=True)
class Shape:
    """How much a `State` has room for."""

    lanes: int
    slots: int
    """Tokens of one lane: its prompt and what it says, one a frame."""
    frames: int
    """Frames of one lane."""
    steps: int
    """Diffusion steps of a frame, at most."""
    noises: int = 0
    """Draws of noise a frame beside the first sample: `steps` with a stochastic sampler."""
    token_guidance: bool = False
    """Whether guidance acts on the choice of tokens too, as in transformers' `generate()`, with a third row a lane."""

    @property
    def rows(self) -> int:
        """Rows that a lane has in a pass of the language model."""
        return 3 if self.token_guidance else 2


class State:
    """Everything that a frame reads and writes."""

    def __init__(self, model: Any, shape: Shape) -> None:
        """`model` is transformers' `VibeVoiceForConditionalGeneration`; types and device are those of its weights."""
        config, weight = model.config, model.lm_head.weight
        self.shape, self.dtype, self.device = shape, weight.dtype, weight.device
        width, latent = config.text_config.hidden_size, config.audio_config.hidden_size
        lanes, rows = shape.lanes, shape.rows * shape.lanes

        def zeros(*size: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros(size, dtype=dtype, device=self.device)

        self.memory = KeyValues(config.text_config, rows, shape.slots, self.dtype, self.device)
        self.decoding = Contexts(model.model.audio_tower.decoder, lanes, self.dtype, self.device)
        self.encoding = Contexts(model.model.semantic_tokenizer_encoder, lanes, self.dtype, self.device)
        self.length = torch.full((rows,), shape.slots - 1, device=self.device)
        """Tokens that a row remembers; a lane's rows are neighbours. Rows that are not in use write into their last
        slot, where nothing is read before something is written."""
        self.inputs = zeros(rows, 1, width, dtype=self.dtype)
        """What each row reads next."""
        self.alive = zeros(lanes, dtype=torch.bool)
        self.wanted = zeros(lanes, dtype=torch.bool)
        """Lanes that are not wanted stand still."""
        self.left = zeros(lanes, dtype=torch.long)
        """Tokens that the lane may still say."""
        self.spoken = zeros(lanes, dtype=torch.long)
        """Frames that the lane has spoken."""
        self.banned = zeros(lanes, len(TOKENS))
        """Added to the scores of the tokens: 0, or minus infinity."""
        self.guidance = zeros(lanes, 1)
        self.noise = zeros(lanes, shape.frames, 1 + shape.noises, latent)
        self.times = zeros(lanes, shape.steps, width, dtype=self.dtype)
        """The embedded timesteps of each lane's sampler."""
        self.weights = zeros(lanes, shape.steps, 1 + shape.noises + shape.steps)
        self.out = zeros(lanes, config.audio_config.hop_length + 3)
        """What a frame has to say: its samples, the token, whether the lane spoke, whether it goes on."""


TOKENS: Final = ("audio_bos_token_id", "audio_eos_token_id", "audio_token_id", "eos_token_id")
"""All that the model may say, as its configuration names them."""


class Frame:
    """Advances the first lanes of a `State` by one token each."""

    def __init__(self, model: Any, state: State, *, forget_at_end: bool = False) -> None:
        """`forget_at_end`: audio_eos clears the convolutions' context, as in Microsoft's code, not in transformers'."""
        parts, config = model.model, model.config
        self._state, self._parts, self._forget = state, parts, forget_at_end
        self._language, self._head = parts.language_model, parts.diffusion_head
        # Ascending, so that of equal scores the lowest token wins, as it does among all of them.
        ids = {name: int(getattr(config, name)) for name in TOKENS}
        self.ids = sorted(ids.values())
        self._begin, self._end, self._speak, self._stop = (self.ids.index(ids[name]) for name in TOKENS)
        chosen = torch.tensor(self.ids, device=state.device)
        self._scores = model.lm_head.weight[chosen].detach().clone()
        self.embeddings: Tensor = self._language.embed_tokens.weight[chosen].detach().clone()
        self._rows = torch.arange(len(state.length), device=state.device)
        self._slots = torch.arange(state.shape.slots, device=state.device)

    @property
    def beginning(self) -> Tensor:
        """What a guidance row reads first, `[width]`: the embedding of audio_bos."""
        return self.embeddings[self._begin]

    def __call__(self, lanes: int, view: int, steps: int) -> None:
        """Advance the first `lanes`; no more than `view` slots and `steps` diffusion steps are in use among them."""
        state, group = self._state, self._state.shape.rows
        rows = group * lanes
        at = state.length[:rows]
        hidden = self._think(at, view).view(lanes, group, -1)
        live = state.alive[:lanes] & state.wanted[:lanes]
        choice = self._choose(hidden)
        speaks = live & (choice == self._speak)
        latent = self._denoise(hidden[:, :2], steps)
        sound, heard = self._voice(latent, speaks)
        said = functional.embedding(choice, self.embeddings)
        follows = torch.where(speaks[:, None], heard, said)

        # All is computed before anything is written: `at`, `live` and others are the state itself.
        begins, ends = live & (choice == self._begin), live & (choice == self._end)
        moved, left = live.long(), state.left[:lanes] - live.long()
        lengths = at.view(lanes, group)
        longer = [lengths[:, 0] + moved, torch.where(begins, 0, lengths[:, 1] + speaks.long())]
        inputs = [follows, follows]
        if group == 3:
            longer.append(lengths[:, 2] + moved)
            inputs.append(said)
        new_inputs = torch.stack(inputs, dim=1).view(rows, 1, -1)
        new_inputs = torch.where(live.repeat_interleave(group)[:, None, None], new_inputs, state.inputs[:rows])
        # Where there are no numbers any more there is no choice either: such a lane ends, with a sound that tells so.
        ill = live & ~torch.isfinite(hidden).all(dim=-1).all(dim=-1)
        alive = state.alive[:lanes] & ~(live & ((choice == self._stop) | (left <= 0) | ill))
        flags = torch.stack([torch.where(live, choice, -1), (speaks | ill).long(), alive.long()], dim=1)
        sound = torch.where(ill[:, None], torch.nan, sound.float())
        for old, new in (
            (state.inputs, new_inputs),
            (state.length, torch.stack(longer, dim=1).view(rows)),
            (state.spoken, state.spoken[:lanes] + speaks.long()),
            (state.left, left),
            (state.alive, alive),
            (state.out, torch.cat([sound, flags.float()], dim=1)),
        ):
            old[: len(new)].copy_(new)
        if self._forget:
            state.decoding.forget(ends)
            state.encoding.forget(ends)

    def _think(self, at: Tensor, view: int) -> Tensor:
        """The language model's pass, `[rows, width]`."""
        seen = self._slots[:view] <= at[:, None]
        out = self._language(
            inputs_embeds=self._state.inputs[: len(at)],
            attention_mask={"full_attention": seen[:, None, None]},
            position_ids=at[:, None],
            past_key_values=OneToken(self._state.memory, self._rows[: len(at)], at, view),
            use_cache=True,
        )
        hidden: Tensor = out.last_hidden_state[:, 0]
        return hidden

    def _choose(self, hidden: Tensor) -> Tensor:
        """The token of each lane, as its place in `ids`, `[lanes]`."""
        lanes = len(hidden)
        scores = functional.linear(hidden[:, 0], self._scores).float()
        if hidden.shape[1] == 3:
            # transformers guides log-probabilities; the norms of both shift all tokens alike.
            guidance = self._state.guidance[:lanes]
            bare = functional.linear(hidden[:, 2], self._scores).float()
            scores = guidance * scores - (guidance - 1) * bare
        return (scores + self._state.banned[:lanes]).argmax(-1)

    def _denoise(self, hidden: Tensor, steps: int) -> Tensor:
        """The latent of the next 133 ms, `[lanes, latent]`, from `hidden`, `[lanes, 2, width]`."""
        state, head, lanes = self._state, self._head, len(hidden)
        noises = state.shape.noises
        noise = state.noise[self._rows[:lanes], state.spoken[:lanes].clamp(max=state.shape.frames - 1)]
        known = torch.cat([noise, noise.new_zeros(lanes, steps, noise.shape[-1])], dim=1)
        # What the conditions do is known before the first step: each layer's weights for it are read once.
        condition = head.cond_proj(hidden)[:, None] + state.times[:lanes, :steps, None]
        shaped = [
            (shift, 1 + scale, gate)
            for shift, scale, gate in (layer.linear(layer.act_fn(condition)).chunk(3, dim=-1) for layer in head.layers)
        ]
        final = head.final_layer
        final_shift, final_scale = final.linear_1(final.act_fn(condition)).chunk(2, dim=-1)
        final_scale = 1 + final_scale
        sample = noise[:, 0]
        for step in range(steps):
            moved = head.noisy_images_proj(sample.to(state.dtype))[:, None].expand_as(hidden)
            for layer, (shift, scale, gate) in zip(head.layers, shaped, strict=True):
                modulated = torch.addcmul(shift[:, step], layer.norm(moved), scale[:, step])
                moved = torch.addcmul(moved, gate[:, step], layer.ffn(modulated))
            normed = functional.rms_norm(moved, (moved.shape[-1],), eps=final.rms_norm_eps)
            answers = final.linear_2(torch.addcmul(final_shift[:, step], normed, final_scale[:, step])).float()
            prompted, free = answers[:, 0], answers[:, 1]
            known[:, 1 + noises + step] = free + state.guidance[:lanes] * (prompted - free)
            used = 2 + noises + step
            # A sum of products: a matrix product may be rounded to TF32.
            sample = (state.weights[:lanes, step, :used, None] * known[:, :used]).sum(dim=1)
        return sample.to(state.dtype)

    def _voice(self, latent: Tensor, speaks: Tensor) -> tuple[Tensor, Tensor]:
        """The samples, `[lanes, hop]`, and what the language model hears of them, `[lanes, width]`."""
        state, parts = self._state, self._parts
        scaled = latent / parts.latent_scaling_factor - parts.latent_bias_factor
        with state.decoding.advance(speaks) as context:
            sound = parts.audio_tower.decoder(scaled[..., None], padding_cache=context).audio
        with state.encoding.advance(speaks) as context:
            meaning = parts.semantic_tokenizer_encoder(sound, padding_cache=context).latents
        heard = parts.multi_modal_projector(latent) + parts.semantic_connector(meaning[:, 0])
        return sound[:, 0], heard
