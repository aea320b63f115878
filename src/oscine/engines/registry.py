"""Which engines there are.

They are found by the entry-point group `oscine.engines`, so that anybody can add one in a package of their own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points

from oscine.config import Settings
from oscine.engines.protocol import Engine
from oscine.errors import InvalidRequest, NotAvailable
from oscine.extras import install_command

GROUP = "oscine.engines"
Factory = Callable[[Settings], Engine]
"""What an entry point names: called with the settings, it returns an engine that is not loaded yet."""


class Registry:
    """The engines that are installed here, by name; each is constructed at most once."""

    def __init__(self, settings: Settings, factories: Mapping[str, Factory] | None = None) -> None:
        self._settings = settings
        found: Mapping[str, EntryPoint | Factory]
        found = {point.name: point for point in entry_points(group=GROUP)} if factories is None else factories
        self._sources = {name.lower(): source for name, source in found.items()}
        self._engines: dict[str, Engine] = {}
        self._constructing = threading.Lock()

    @property
    def names(self) -> list[str]:
        """Names of the installed engines, sorted."""
        return sorted(self._sources)

    def select(self, engine: str | None, model: str | None) -> str:
        """The engine that a request asks for: `engine`, else `model` if it names one, else the default.

        Raises InvalidRequest when `engine` is not installed, NotAvailable when the default is not.
        """
        if engine is not None:
            if engine.lower() in self._sources:
                return engine.lower()
            raise InvalidRequest(
                f"engine must be one of {', '.join(self.names)}.", param="engine", code="engine_not_found"
            )
        if model is not None and model.lower() in self._sources:
            return model.lower()
        default = self._settings.engine
        if default not in self._sources:
            raise NotAvailable(
                f"The default engine (OSCINE_ENGINE) is not installed; installed are {', '.join(self.names)}.",
                param="engine",
            )
        return default

    def get(self, name: str) -> Engine:
        """The engine of that name, constructed but not loaded. Raises NotAvailable when its packages are missing."""
        with self._constructing:
            if name not in self._engines:
                self._engines[name] = self._construct(name)
            return self._engines[name]

    def _construct(self, name: str) -> Engine:
        source = self._sources[name]
        try:
            factory: Factory = source.load() if isinstance(source, EntryPoint) else source
            return factory(self._settings)
        except ImportError as error:
            package = getattr(error, "name", None) or "a package"
            raise NotAvailable(
                f"The engine {name} needs {package}, which is not installed; {_remedy(name, source)}.", param="engine"
            ) from None


def _remedy(name: str, source: EntryPoint | Factory) -> str:
    """What brings the packages of an engine: an extra of whoever it comes from, where that has one of its name."""
    dist = source.dist if isinstance(source, EntryPoint) else None
    if dist is None:
        return f"run: {install_command(name)}"
    if name not in (dist.metadata.get_all("Provides-Extra") or ()):
        return f"run: pip install --force-reinstall {dist.name}"
    return f"run: {install_command(name)}" if dist.name == "oscine" else f'run: pip install "{dist.name}[{name}]"'
