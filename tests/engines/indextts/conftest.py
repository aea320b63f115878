"""These tests run where IndexTTS's packages are (`make test-indextts`): not in `.venv`, which must not hold scipy."""

from __future__ import annotations

import importlib.util

collect_ignore_glob = [] if importlib.util.find_spec("indextts") else ["*"]
