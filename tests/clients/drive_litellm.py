"""LiteLLM's `speech` and `aspeech`: `drive_litellm.py ADDRESS KEY FOLDER`, a JSON line for each take."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

# Its list of prices comes from the network otherwise.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm
import openai

TEXT = "Hello there. This is what a gateway passes on, in two sentences."


def main(url: str, key: str, folder: Path) -> None:
    usual: dict[str, Any] = {"input": TEXT, "voice": "alloy", "api_base": f"{url}/v1", "api_key": key}
    for model in ("openai/tts-1", "openai/gpt-4o-mini-tts", "openai/hibari"):
        for format in ("mp3", "opus", "aac", "flac", "wav"):
            name = f"litellm-{model.partition('/')[2]}.{format}"
            litellm.speech(model=model, response_format=format, **usual).write_to_file(folder / name)
            print(json.dumps({"take": name, "text": TEXT, "file": name}), flush=True)
    answer = asyncio.run(litellm.aspeech(model="openai/tts-1", response_format="wav", **usual))
    (folder / "litellm-async.wav").write_bytes(answer.content)
    print(json.dumps({"take": "async", "text": TEXT, "file": "litellm-async.wav"}))
    try:
        litellm.speech(model="openai/tts-1", **{**usual, "voice": "nobody-of-this-name"})
        print(json.dumps({"take": "refused", "problem": "nothing was refused"}))
    except openai.BadRequestError as error:
        print(json.dumps({"take": "refused", "message": error.message}))


main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
