"""A process at rest is small again."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from oscine.heap import give_back

CHURN = """
import threading
from oscine.heap import give_back, keep_heaps_few

def resident():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024

def churn(kept):
    blocks = [bytearray(60_000) for _ in range(600)]
    kept.append(blocks[7])
    ready.wait()

keep_heaps_few()
give_back()
begin = resident()
ready = threading.Barrier(3)
kept = []
threads = [threading.Thread(target=churn, args=(kept,)) for _ in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
full = resident()
give_back()
print(full - begin, resident() - begin)
"""


def test_giving_back_never_fails_anywhere() -> None:
    give_back()
    give_back()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps heaps of its own for threads")
def test_what_threads_freed_is_given_back_to_the_system() -> None:
    found = subprocess.run([sys.executable, "-c", CHURN], capture_output=True, text=True, check=True, timeout=200)
    full, rest = map(float, found.stdout.split())
    assert full > 15, "nothing was kept in the first place"
    assert rest < full / 3
