"""Chance that can be repeated: numbers that depend on a seed and on what they are for, on nothing else."""

from __future__ import annotations

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15


def mixed(*parts: int) -> int:
    """64 well-mixed bits of some integers, always the same for the same ones (splitmix64)."""
    state = 0
    for part in parts:
        state = (state + (part & _MASK) + _GOLDEN) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state


def between(low: int, high: int, *parts: int) -> int:
    """An integer of ``low``…``high``, both included, as good as evenly spread."""
    return low + mixed(*parts) % (high - low + 1)


def bell(spread: int, *parts: int) -> int:
    """An integer about 0, mostly within ±``spread``, never beyond ±4 x ``spread``, in the shape of a bell."""
    bits = mixed(*parts)
    total = sum((bits >> shift) & 0xFFFF for shift in (0, 16, 32, 48))  # mean 131070, deviation 37837
    return (total - 131070) * spread // 37837 if spread else 0
