"""Where every engine's packages are installed, none of them is loaded before it is needed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HEAVY = {
    "diffusers",
    "indextts",
    "indextts25",
    "librosa",
    "nemo_text_processing",
    "torch",
    "torchaudio",
    "transformers",
}
ASKING = """
import sys
from pathlib import Path
from oscine.config import Settings
from oscine.engines.registry import Registry

registry = Registry(Settings.from_env({"OSCINE_VOLUME": sys.argv[1]}))
for name in registry.names:
    engine = registry.get(name)
    print(engine.info.name, engine.missing())
print("loaded:", *{name.partition(".")[0] for name in sys.modules})
"""


def test_asking_what_engines_there_are_and_what_they_miss_loads_none_of_their_packages(tmp_path: Path):
    done = subprocess.run([sys.executable, "-c", ASKING, tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert HEAVY.isdisjoint(done.stdout.partition("loaded:")[2].split())
