"""Freed memory is kept: the next tensor of the size costs no new pages."""

import ctypes
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys, torch
from probgen.execution import keep_freed_memory

if "keep" in sys.argv:
    assert keep_freed_memory()
pages = []
for _ in range(4):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(16, 1024, 1024)
    pages.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(min(pages[1:]))
"""


def new_pages(*words):
    done = subprocess.run([sys.executable, "-c", PROGRAM, *words], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux") or not hasattr(ctypes.CDLL(None), "mallopt"), reason="not glibc")
def test_a_tensor_of_a_size_that_was_freed_needs_no_new_pages():
    assert new_pages() > 16  # 64 MiB: 32 pages even of the largest kind
    assert new_pages("keep") < 8
