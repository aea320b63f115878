"""Emotions as the models take them: eight shares, given as numbers or read from a text."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from oscine.engines.indextts.references import Kept
from oscine.errors import Cancelled, NotAvailable, SynthesisFailed

EMOTIONS: Final = ("happy", "angry", "sad", "afraid", "disgusted", "melancholic", "surprised", "calm")
_BIAS: Final = (0.9375, 0.875, 1.0, 1.0, 0.9375, 0.9375, 0.6875, 0.5625)
"""The models' authors' weights: some emotions sound strange sooner than others."""
_MOST: Final = 0.8
"""Of the whole; the rest is how the speaker feels anyway. More makes speech unstable."""

_CHINESE: Final = dict(zip(("高兴", "愤怒", "悲伤", "恐惧", "反感", "低落", "惊讶", "自然"), EMOTIONS, strict=True))
_TASK: Final = "文本情感分类"
_MELANCHOLIC: Final = (
    "低落",
    "melanchol",
    "melancol",
    "melancól",
    "depress",
    "gloomy",
    "deprimid",
    "bajón",
    "nostalgia",
)
"""With these words the model takes melancholy for sadness and sadness for melancholy."""
_HIGHEST: Final = 1.2
_PAIR: Final = re.compile(r'([^\s":.,{]{1,12})"?\s*:\s*(\d+(?:\.\d+)?|\.\d+)')
_LONGEST_ANSWER: Final = 128
"""Tokens; the model's answers have about 70."""
_PATIENCE_S: Final = 20.0


def balanced(shares: Sequence[float], *, biased: bool = True) -> list[float]:
    """The shares as the model takes them best: weighed (`biased`), and 0.8 in all at most."""
    weighed = [share * bias for share, bias in zip(shares, _BIAS, strict=True)] if biased else list(shares)
    whole = sum(weighed)
    return [share * _MOST / whole for share in weighed] if whole > _MOST else weighed


def scaled(shares: Sequence[float], alpha: float) -> list[float]:
    """The shares at a strength from 0 to 1, cut to four decimals as the model's own code does it."""
    return list(shares) if alpha == 1.0 else [int(share * alpha * 10_000) / 10_000 for share in shares]


def parsed(answer: str, text: str) -> list[float]:
    """The eight shares in what the model of emotions said about `text`; calm alone where it said nothing of use."""
    found = _numbers(answer)
    if any(word in text.lower() for word in _MELANCHOLIC):
        found["sad"], found["melancholic"] = found["melancholic"], found["sad"]
    return list(found.values()) if any(found.values()) else [0.0] * 7 + [1.0]


def _numbers(answer: str) -> dict[str, float]:
    try:
        read = json.loads(answer)
    except (ValueError, RecursionError):
        read = None
    pairs: Mapping[str, Any] = read if isinstance(read, dict) else dict(_PAIR.findall(answer))
    found = dict.fromkeys(EMOTIONS, 0.0)
    for name, value in pairs.items():
        try:
            number = float(value)
        except (TypeError, ValueError):
            continue
        if str(name) in _CHINESE and number == number:
            found[_CHINESE[str(name)]] = max(0.0, min(_HIGHEST, number))
    return found


class TextEmotion:
    """The small language model that comes with IndexTTS-2 and tells the emotions of a text.

    It is loaded at its first use, answers without chance, in a bounded number of tokens and seconds, and remembers.
    """

    def __init__(self, folder: Path | None, device: Any) -> None:
        self._folder = folder
        self._device = device
        self._model: Any = None
        self._tokenizer: Any = None
        self._known: Kept[list[float]] = Kept(256)

    @property
    def is_loaded(self) -> bool:
        """Whether it takes memory."""
        return self._model is not None

    def shares(self, text: str, stop: threading.Event) -> list[float]:
        """The eight shares of `text`. Raises NotAvailable where the model is not there, Cancelled after `stop`."""

        def read() -> list[float]:
            answer = self._ask(text, stop)
            if stop.is_set():  # it was cut short
                raise Cancelled("The request was cancelled.")
            return parsed(answer, text)

        return self._known.get(text, read)

    def _ask(self, text: str, stop: threading.Event) -> str:
        import torch
        from transformers import StoppingCriteria, StoppingCriteriaList

        class Left(StoppingCriteria):
            """Ends when nobody wants the answer any more."""

            def __call__(self, ids: Any, scores: Any, **_: Any) -> Any:
                return torch.full((len(ids),), stop.is_set(), device=ids.device)

        self._load()
        messages = [{"role": "system", "content": _TASK}, {"role": "user", "content": text}]
        prompt = self._tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True, enable_thinking=False
        )
        asked = self._tokenizer([prompt], return_tensors="pt").to(self._model.device)
        began = time.monotonic()
        told = self._model.generate(
            **asked,
            max_new_tokens=_LONGEST_ANSWER,
            max_time=_PATIENCE_S,
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            pad_token_id=self._tokenizer.eos_token_id,
            stopping_criteria=StoppingCriteriaList([Left()]),
        )
        late = time.monotonic() - began >= _PATIENCE_S and int(told[0][-1]) != self._tokenizer.eos_token_id
        if late and not stop.is_set():  # half an answer would depend on how busy the machine is
            raise SynthesisFailed(
                f"The emotions of the text could not be read within {_PATIENCE_S:.0f} s; give emo_vector instead."
            )
        answer = str(self._tokenizer.decode(told[0][asked.input_ids.shape[1] :], skip_special_tokens=True))
        return answer.rpartition("</think>")[2]

    def _load(self) -> None:
        if self._model is not None:
            return
        if self._folder is None:
            raise NotAvailable(
                "use_emo_text needs the model of emotions, which is not here; run: oscine download indextts2",
                param="use_emo_text",
            )
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        dtype = torch.float16 if torch.device(self._device).type == "cuda" else torch.float32
        self._tokenizer = AutoTokenizer.from_pretrained(self._folder, local_files_only=True)
        self._model = AutoModelForCausalLM.from_pretrained(self._folder, dtype=dtype, local_files_only=True)
        self._model.to(self._device).eval()
