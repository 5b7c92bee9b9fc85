"""Numbers and lists in sentences."""

from collections.abc import Mapping, Sequence


def several(count: int, noun: str, verb: tuple[str, str] | None = None) -> str:
    """Return "1 image is" or "1,234 images are"."""
    plural = f"{noun}es" if noun.endswith(("s", "x")) else f"{noun}s"
    if noun.endswith("ity"):
        plural = f"{noun[:-1]}ies"
    words = f"{count:,} {noun if count == 1 else plural}"
    return words if verb is None else f"{words} {verb[count != 1]}"


def listed(names: Sequence[str], most: int = 5) -> str:
    """Return "a, b, c and 4 more"."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def by_suffix(counts: Mapping[str, int], most: int = 6) -> str:
    """Return "2 .txt, 1 without a suffix" of the suffixes that occur most often."""
    common = sorted(counts.items(), key=lambda item: -item[1])[:most]
    return ", ".join(f"{count:,} {suffix or 'without a suffix'}" for suffix, count in common)
