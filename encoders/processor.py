"""Tells processors apart: where bf16 and int8 are fast, and for what kind of device a proof is."""

from __future__ import annotations

import os
import platform

import torch

# oneDNN's names of instruction sets that multiply bf16; any other name holds it to less.
BF16_SETS = ("AVX512_CORE_BF16", "AVX512_CORE_FP16", "AVX512_CORE_AMX", "AVX10", "DEFAULT", "ALL")

VNNI_SETS = (*BF16_SETS, "AVX512_CORE_VNNI", "AVX2_VNNI")


def has_fast_bf16() -> bool:
    """Whether this CPU multiplies bf16 itself and oneDNN may use it; where not, bf16 is several
    times slower than fp32 (docs/performance.md)."""
    has = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return bool(has) and max_cpu_isa().startswith(BF16_SETS)


def has_vnni() -> bool:
    """Whether this CPU sums products of bytes in 32 bits."""
    return bool(torch.cpu._is_vnni_supported())


def onednn_has_vnni() -> bool:
    """Whether oneDNN may do so, too."""
    return has_vnni() and max_cpu_isa().startswith(VNNI_SETS)


def max_cpu_isa() -> str:
    """The instruction set that oneDNN is held to by the environment, `DEFAULT` where it is not."""
    return os.environ.get("ONEDNN_MAX_CPU_ISA", "DEFAULT").upper() or "DEFAULT"


def device_kind(device: torch.device) -> str:
    """What arithmetic depends on: a GPU's name and generation, a CPU's instruction sets."""
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        return f"{torch.cuda.get_device_name(device)}, compute capability {major}.{minor}"
    if device.type != "cpu":
        return device.type
    sets = {
        "avx512_bf16": torch.cpu._is_avx512_bf16_supported(),
        "amx": torch.cpu._is_amx_tile_supported(),
        "vnni": torch.cpu._is_vnni_supported(),
    }
    has = " ".join(name for name, there in sets.items() if there)
    capability = torch.backends.cpu.get_cpu_capability()
    return f"CPU {platform.machine()} {capability} {has}".strip() + f", oneDNN {max_cpu_isa()}"
