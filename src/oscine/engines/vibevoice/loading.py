"""From a checkpoint on disk to a model on the best device there is."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch

from oscine.config import Settings
from oscine.engines.device import described, device_of, free_memory, is_for_memory
from oscine.engines.protocol import Progress
from oscine.engines.torchaudio import make_importable
from oscine.engines.vibevoice.memory import bytes_per_slot
from oscine.errors import NotAvailable
from oscine.extras import install_command

_WHOLE: Final = r"(?!model\.language_model\.).*"
"""What is never quantized, as transformers matches names: all but the layers of the language model. Coarse numbers in
the rest are heard as noise."""
_ATTENTION: Final = {
    "": "sdpa",
    "text_config": "sdpa",
    "audio_config": "eager",
    "semantic_model_config": "eager",
    "diffusion_head_config": "eager",
}
"""Whatever a checkpoint asks for: prompts go through `sdpa`, frames through attention of our own, and the other parts
have none, but refuse what they do not know."""
_SPARE: Final = 0.85
"""So much of the memory that is free after loading goes to lanes; the rest is for what a frame needs in passing."""
_SPARE_BYTES: Final = 800_000_000
"""What is left at least where that still leaves a lane: CUDA's libraries and graphs take theirs only later."""
_CPU_LANES: Final = 4
_MOST_LANES: Final = 128


@dataclass(frozen=True)
class Loaded:
    """A model that can speak."""

    model: Any
    """transformers' `VibeVoiceForConditionalGeneration`."""
    processor: Any
    device: str


def load(folder: Path, settings: Settings, progress: Progress) -> Loaded:
    """Load the weights straight onto the device. Raises NotAvailable."""
    make_importable()
    from transformers import AutoProcessor, VibeVoiceForConditionalGeneration
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    device = device_of(settings)
    progress(f"vibevoice on {device}", None)
    options: dict[str, Any] = {
        "dtype": dtype_for(device),
        "device_map": {"": str(device)},
        "attn_implementation": _ATTENTION,
        "local_files_only": True,
    }
    if settings.quantize:
        options["quantization_config"] = _quantization(settings.quantize, device)
    model = None
    try:
        model = VibeVoiceForConditionalGeneration.from_pretrained(folder, **options).eval()
    except RuntimeError as error:
        if not is_for_memory(error):
            raise
    if model is None:  # raised here, where no frame of the error holds what was loaded
        free_memory()
        raise NotAvailable(
            "vibevoice does not fit into this GPU; choose the 1.5B model with MODEL_PATH, or --quantize 4.",
            code="out_of_memory",
        )
    processor = AutoProcessor.from_pretrained(folder, local_files_only=True)
    processor.tokenizer.padding_side = "left"
    model.requires_grad_(False)
    return Loaded(model, processor, described(device))


def dtype_for(device: torch.device) -> torch.dtype:
    """bfloat16 on GPUs, also where PyTorch emulates it (before Ampere), for it holds what overflows float16."""
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def scheduler_of(model: Any, *, stochastic: bool) -> Any:
    """The diffusers scheduler that the checkpoint names, or its SDE variant, as the model's first demos used it."""
    scheduler = model._build_default_noise_scheduler(model.generation_config)
    if not stochastic:
        return scheduler
    return type(scheduler).from_config(scheduler.config, algorithm_type="sde-dpmsolver++")


def room(model: Any, asked: int | None, slots: int, rows: int) -> tuple[int, int]:
    """Lanes of `rows` rows, and slots of each, as many as the device's free memory holds.

    Raises NotAvailable where that is not one lane.
    """
    config, device = model.config.text_config, model.lm_head.weight.device
    slots = min(slots, config.max_position_embeddings)
    if device.type != "cuda":
        return asked or _CPU_LANES, slots
    free_memory()  # what loading took in passing, such as weights before they are quantized, counts as taken until then
    free, _ = torch.cuda.mem_get_info(device)
    lane = rows * slots * bytes_per_slot(config, model.lm_head.weight.dtype)
    most = int(free * _SPARE / lane)
    lanes = min(asked or _MOST_LANES, max(min(1, most), min(most, int((free - _SPARE_BYTES) / lane))))
    if lanes < 1:
        raise no_room()
    return lanes, slots


def no_room() -> NotAvailable:
    """What is told where not one lane fits."""
    return NotAvailable(
        "vibevoice leaves no GPU memory for speech; choose the 1.5B model with MODEL_PATH, or --quantize 4.",
        code="out_of_memory",
    )


def _quantization(bits: int, device: torch.device) -> Any:
    from transformers import BitsAndBytesConfig

    # It tells for each layer of each prompt that numbers become float16.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    try:
        import bitsandbytes  # noqa: F401
    except ImportError:
        raise NotAvailable(
            f"--quantize needs bitsandbytes, which is not installed; run: {install_command('quantize')}",
            param="quantize",
        ) from None
    if bits == 8:
        # No outliers apart: finding them would stop every layer for the host.
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_threshold=0.0, llm_int8_skip_modules=[_WHOLE])
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=dtype_for(device),
        llm_int8_skip_modules=[_WHOLE],
    )
