"""How each kind of ending looks to a shell: one line on standard error, and an exit code."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from types import CodeType, FrameType
from typing import Any, Final

from oscine.errors import OscineError
from oscine.heap import keep_heaps_few

BROKEN_PIPE: Final = 141
"""As of a program that SIGPIPE ended."""
_IMPORTING: Final = "<frozen importlib"
_AGAIN_S: Final = 0.01
"""Seconds after which a signal is sent again that arrived where an exception would be lost."""
_GRACE_S: Final = 2.0
"""Seconds that the command has to tidy up after the first Ctrl-C before a second one ends it at once."""


class Stopped(BaseException):
    """The user or the system asked the command to stop; no error, so no handler for errors may swallow it."""

    def __init__(self, code: int, message: str = "stopped.") -> None:
        super().__init__(message)
        self.code = code


class PipeClosed(BaseException):
    """Whatever read standard output has closed it: no fault, and nothing left to do."""


_asked: list[tuple[float, int]] = []
"""When the command was first asked to stop, on the monotonic clock, and by which signal; empty until then."""


def heed() -> None:
    """Raises Stopped if a signal has asked for it: the exception of that moment may have been lost in a callback."""
    if _asked:
        raise Stopped(128 + _asked[0][1])


def show_causes() -> None:
    """With OSCINE_DEBUG, show what the log says of an engine's faults."""
    from oscine.config import debugging

    if debugging():
        import logging

        logging.basicConfig(format="%(name)s: %(message)s")
        logging.getLogger("oscine").setLevel(logging.DEBUG)


def why_not(error: Exception) -> str:
    """What keeps an engine from being used, in one sentence."""
    if isinstance(error, OscineError):
        return error.message
    return f"does not start ({type(error).__name__}); update or remove its package."


def run(command: Callable[[], Any]) -> None:
    """Run a command and end the process: 0 done, 2 wrong use, 3 not available, 4 failed, 128 + n after a signal."""
    _leave(_code_of(lambda: _prepared(command)))


def _prepared(command: Callable[[], Any]) -> Any:
    _listen()
    keep_heaps_few()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a file's name need not be printable in this locale
            stream.reconfigure(errors="backslashreplace")
    return command()


def _code_of(command: Callable[[], Any]) -> int:
    try:
        code = command()
    except OscineError as error:
        return _complain(error.message, error.exit_code)
    except Stopped as stopped:
        return _complain(str(stopped), stopped.code)
    except (PipeClosed, BrokenPipeError, SystemExit):  # typer turns a broken pipe into SystemExit
        return BROKEN_PIPE
    except Exception as error:
        if _asked:  # whatever it is, it came of stopping
            return _complain("stopped.", 128 + _asked[0][1])
        if hasattr(error, "format_message") and hasattr(error, "show"):
            return _wrong_use(error)
        from oscine.config import debugging

        if debugging():
            traceback.print_exc()
        what = type(error).__name__
        if isinstance(error, OSError) and error.strerror:
            what = f"{what} ({error.strerror})"
        return _complain(f"an unexpected {what} happened; set OSCINE_DEBUG=1 to see where.", 4)
    return code if isinstance(code, int) else 0


def _wrong_use(error: Any) -> int:
    """Typer's own complaints; without a message they are a command's help, which was called without arguments."""
    said = str(error.format_message()).strip()
    path = getattr(error.ctx, "command_path", "oscine")
    if path.endswith(" say") and "extra argument" in said:
        _complain('the text is more than one argument; put it in quotes, as in: oscine say "Hello world."', 2)
    elif not said or "\n" in said:
        error.show(file=sys.stderr)
    else:
        _complain(f"{said.rstrip('.')}; see: {path} --help", 2)
    return 2


def _complain(message: str, code: int) -> int:
    if sys.stderr is not None:
        with suppress(OSError):
            print(f"oscine: {message}", file=sys.stderr)
    return code


def _leave(code: int) -> None:
    """End now: what could still be running is daemon threads, and there is nothing left to write."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        code = code or BROKEN_PIPE
    except OSError as error:
        code = code or _complain(f"standard output cannot be written ({error.strerror}).", 4)
    if sys.stderr is not None:
        with suppress(OSError):
            sys.stderr.flush()
    os._exit(code)


def _send(number: int) -> None:
    """Deliver a signal to the main thread, also while it waits for a lock or for input."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, number)
    else:
        signal.raise_signal(number)


def _is_within(frame: FrameType | None, code: CodeType) -> bool:
    while frame is not None and frame.f_code is not code:
        frame = frame.f_back
    return frame is not None


def _listen() -> None:
    """Have Ctrl-C, SIGTERM and a terminal that closes unwind the command, so that it tidies up."""

    def stop(number: int, frame: FrameType | None) -> None:
        if _is_within(frame, stop.__code__) or (frame and frame.f_code.co_filename.startswith(_IMPORTING)):
            # In importlib the exception may be lost, in a callback that runs with the lock of all imports held; within
            # this handler it would leave the handler half done. So the signal is sent again in a moment.
            again = threading.Timer(_AGAIN_S, _send, (number,))
            again.daemon = True
            again.start()
            return
        if _asked:
            if time.monotonic() - _asked[0][0] > _GRACE_S:
                os._exit(128 + number)
            return
        _asked.append((time.monotonic(), number))
        raise Stopped(128 + number)

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        known = getattr(signal, name, None)
        if known is not None and signal.getsignal(known) is not signal.SIG_IGN:  # nohup, or a job in the background
            signal.signal(known, stop)
