"""What a worker's jobs share: the engines, the voices, the object store, the results on disk."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final

from oscine.aio import AsyncOscine
from oscine.config import Settings
from oscine.engines.protocol import EngineInfo
from oscine.errors import EngineFailed, InvalidRequest, OscineError
from oscine.http.readiness import Readiness
from oscine.runpod import actions, speech
from oscine.runpod.documents import Document, failure
from oscine.runpod.output import Output, session_of
from oscine.synthesis.studio import Studio

if TYPE_CHECKING:
    from oscine.delivery.store import ObjectStore

log = logging.getLogger(__name__)

Job = Mapping[str, Any]
"""What the platform hands over: `id`, `input`, and `s3Config` where the request had one."""
MOST_JOBS: Final = 32
"""Jobs at once where an engine has more lanes; each is at most a thread that waits."""
_SHORT: Final = 8


class Worker:
    """Answers jobs. Belongs to one event loop; what takes time happens in threads."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.oscine = AsyncOscine(studio=studio)
        self.output = Output(studio.settings)
        self.readiness = Readiness(studio)
        self.broken = False
        """Whether the engine broke down for good: the platform is asked for another worker."""
        self._store: ObjectStore | None = None
        self._store_known = False
        self._later: set[asyncio.Task[Any]] = set()
        self._threads_of: asyncio.AbstractEventLoop | None = None

    @property
    def settings(self) -> Settings:
        """Those of the deployment."""
        return self.studio.settings

    @property
    def store(self) -> ObjectStore | None:
        """The deployment's object store; None: there is none. Raises InvalidRequest where it is half configured."""
        if not self._store_known:
            from oscine.delivery.store import ObjectStore

            self._store = ObjectStore.from_settings(self.settings)
            self._store_known = True
        return self._store

    def store_for(self, job: Job, *, patience_s: float | None = None) -> ObjectStore | None:
        """The object store of a job: the one that came with it, else the deployment's.

        With `patience_s` it is one that is given up after so many seconds, if `S3_TIMEOUT_SECONDS` is not less.
        """
        asked, settings = job.get("s3Config"), self.settings
        if not asked and patience_s is None:
            return self.store
        if not isinstance(asked or {}, Mapping):
            raise InvalidRequest("s3Config must be an object.", param="s3Config")
        from oscine.delivery.store import ObjectStore

        if patience_s is not None:
            limit = min(patience_s, settings.s3_timeout_seconds)
            settings = settings.model_copy(update={"s3_timeout_seconds": limit})
        return ObjectStore.from_s3_config(asked, settings) if asked else ObjectStore.from_settings(settings)

    def jobs_at_once(self, _current: int = 1) -> int:
        """How many jobs the worker takes. The platform resizes only an idle worker, so this does not change."""
        if self.settings.worker_jobs is not None:
            return self.settings.worker_jobs
        scheduler = self.readiness.scheduler
        lanes = scheduler.engine.info.max_lanes if scheduler is not None and scheduler.ready else 1
        return max(1, min(MOST_JOBS, lanes))

    def info_of(self, engine: str) -> EngineInfo:
        """An engine's facts, with what is known only since it was loaded."""
        return self.studio.registry.get(engine).info

    def later(self, work: Coroutine[Any, Any, Any]) -> None:
        """Have `work` done beside the jobs; nobody waits for it."""
        task = asyncio.get_running_loop().create_task(work)
        self._later.add(task)  # the loop itself does not hold on to its tasks
        task.add_done_callback(self._later.discard)

    async def answer(self, job: Job) -> AsyncGenerator[Document, None]:
        """The documents of a job: one, or the pieces of a stream and then one. Raises nothing but what cancels it."""
        self._have_threads()
        try:
            async with aclosing(self._answer(job)) as documents:
                async for document in documents:
                    yield document
        except OscineError as error:
            if isinstance(error, EngineFailed):
                self.broken = self.broken or self._is_beyond_repair()
            told = failure(error, job.get("input"))
            log.info("job %s failed (%s)", _name(job), told["error_type"])
            yield told
        except Exception as error:  # what leaves here, the SDK sends to the client with its traceback
            log.error("job %s failed (%s)", _name(job), type(error).__name__)
            log.debug("job %s failed", _name(job), exc_info=error)
            yield {
                "error": f"The worker failed ({type(error).__name__}); send the job again.",
                "error_type": "server_error",
            }

    async def _answer(self, job: Job) -> AsyncGenerator[Document, None]:
        fields = job.get("input")
        if not isinstance(fields, Mapping):
            raise InvalidRequest("input must be an object with the fields of a request, such as text.", param="input")
        action = fields.get("action") or "speak"
        if action != "speak":
            yield await asyncio.to_thread(actions.act, self, job, action, fields)
            return
        document: Document = {}
        async with aclosing(speech.speak(self, job, fields)) as documents:
            async for document in documents:
                yield document
        log.info("job %s: %s", _name(job), _summary(document))
        self.later(asyncio.to_thread(self.output.sweep))

    def _is_beyond_repair(self) -> bool:
        """Whether an engine broke that had worked, or the one that answers when none is asked for cannot work.

        Another one that was never loaded only does not suit this machine: nobody may ask for new workers with it.
        """
        broken = [scheduler for scheduler in self.studio.all_loaded() if scheduler.failure is not None]
        return self.readiness.problem is not None or any(scheduler.loaded_at is not None for scheduler in broken)

    def _have_threads(self) -> None:
        """A thread for each job and some for what is short: asyncio's own few would let jobs wait for one another."""
        loop = asyncio.get_running_loop()
        if self._threads_of is not loop:
            jobs = max(MOST_JOBS, self.settings.worker_jobs or 0)
            loop.set_default_executor(ThreadPoolExecutor(jobs + _SHORT, thread_name_prefix="oscine-job"))
            self._threads_of = loop


def _name(job: Job) -> str:
    """What the platform calls the job, without what could break a line of the log."""
    return session_of(None, job.get("id"))


def _summary(document: Document) -> str:
    """What is told of a finished result in the log: nothing of what was said."""
    told = document["metadata"]
    way = "a link" if "url" in document else "base64" if "audio_base64" in document else "pieces"
    return (
        f"{document['duration_sec']} s of speech by {told['engine']} in {told['synthesis_seconds']} s, and"
        f" {told['queue_seconds']} s beside it, as {way}"
    )
