"""Memory that an encoder gave back: a process of its own, since nothing else may have asked."""

from __future__ import annotations

import subprocess
import sys

import pytest

_FAULTS = """
import resource, sys
if sys.argv[1] == "kept":
    from pipeline.embed.reused_memory import keep_freed_memory
    keep_freed_memory()
import torch
torch.set_num_threads(1)

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def forward(megabytes=8):
    a = torch.ones(megabytes << 18)
    b = a + 1
    return (a * b).sum().item()

for _ in range(10):
    forward()
before = faults()
for _ in range(20):
    forward()
print((faults() - before) / 20)
"""


@pytest.mark.slow("torch is imported twice, 5 s")
def test_a_forward_is_not_given_its_pages_anew() -> None:
    given, kept = (_faults_of_a_forward(how) for how in ("given back", "kept"))
    assert given > 300  # three times 8 MB, of which glibc keeps a part by itself
    assert kept < given / 4


def _faults_of_a_forward(how: str) -> float:
    command = [sys.executable, "-c", _FAULTS, how]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(said)
