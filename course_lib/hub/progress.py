"""Progress bars for what may take a while, and sizes and numbers as people read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tqdm import tqdm

PATIENCE = 1.0  # seconds before a bar appears


def bar(what: str, total: int, unit: str = "B") -> tqdm:
    """A bar on the terminal for `total` bytes (or other units); nothing where no terminal is."""
    from tqdm import tqdm

    scaled = {"unit_scale": True, "unit_divisor": 1000} if unit == "B" else {}
    unit = unit if unit == "B" else f" {unit}"
    return tqdm(
        total=total, desc=what, unit=unit, delay=PATIENCE, disable=None, leave=False, **scaled
    )


def size_text(size: int) -> str:
    """`12 bytes`, `3.4 kB`, `1.2 GB`."""
    if size < 1000:
        return f"{size} byte" if size == 1 else f"{size} bytes"
    value = float(size)
    for unit in ("kB", "MB", "GB", "TB"):
        value /= 1000
        if value < 999.95 or unit == "TB":
            break
    return f"{value:,.1f} {unit}"


def count_text(number: int, noun: str, plural: str | None = None) -> str:
    """`1 file`, `2,000 files`, `3 repositories`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
