"""The fastest precision that trains as well as full precision does."""

import torch

from autoencoders.errors import InputError

ALLOWED = ("auto", "32-true", "bf16-mixed", "16-mixed")


def choose_precision(setting: str, accelerator: str) -> str:
    """Resolve `trainer.precision=auto`.

    bfloat16 autocast keeps weights, losses and optimizer in single precision and halves what the
    convolutions move; where it is emulated it only costs time.

    Args:
        setting: `auto`, or one of Lightning's precisions, which is returned as it is. Weights are
            always kept in single precision.
        accelerator: `trainer.accelerator`.

    Returns:
        `bf16-mixed` where the processor computes bfloat16 itself, else `32-true`.

    Raises:
        InputError: another setting, or one that this device does not compute in.
    """
    if setting not in ALLOWED:
        allowed = ", ".join(ALLOWED)
        raise InputError(f"trainer.precision={setting}: no such choice; allowed: {allowed}")
    gpu = on_gpu(accelerator)
    if setting == "16-mixed" and not gpu:  # Lightning would compute in bfloat16 in its place
        raise InputError(
            "trainer.precision=16-mixed: needs an NVIDIA or ROCm GPU, and this run has none;"
            " allowed: auto, 32-true, bf16-mixed"
        )
    if setting != "auto":
        return setting
    native = _gpu_has_bfloat16() if gpu else _cpu_has_bfloat16()
    precision = "bf16-mixed" if native else "32-true"
    place = "GPU" if gpu else "CPU"
    speed = "natively" if native else "slowly"
    print(
        f"precision {precision}: this {place} computes bfloat16 {speed}; trainer.precision= sets"
        " another"
    )
    return precision


def on_gpu(accelerator: str) -> bool:
    """Whether `trainer.accelerator=<accelerator>` means an NVIDIA (or ROCm) GPU here."""
    return torch.cuda.is_available() and accelerator in ("auto", "gpu", "cuda")


def _gpu_has_bfloat16() -> bool:
    return torch.cuda.is_bf16_supported(including_emulation=False)


def _cpu_has_bfloat16() -> bool:
    # torch 2.6 to 2.14 asks the processor; no public name has the answer in all of them.
    if getattr(torch.cpu, "_is_avx512_bf16_supported", bool)():
        return True
    return getattr(torch.cpu, "_is_amx_tile_supported", bool)()
