"""Rules on identities: one in two splits, one under two names, too few images to make pairs."""

from collections.abc import Iterator

import numpy as np

from kerasvision.data.assembling import shared_identities
from kerasvision.data.doctor.findings import Case, Problem, Seen
from kerasvision.data.doctor.rules import IMAGE_RULES, stray_images
from kerasvision.data.doctor.twin_rules import copies, leaks
from kerasvision.data.wording import listed, several

FEWEST = 2  # identities of a split
UNEVEN = 10.0  # largest identity over the middle one
MANY = 20  # images of an identity below which it is not called large
SHOWN = 3  # images of a case


def layout(seen: Seen) -> Iterator[Problem]:
    """Folders that `identity_folder` refuses, and images that are nobody's."""
    yield from stray_images(seen)
    stray = [label for label in seen.intake.labels if label is None]
    if seen.intake.layout_problem and len(stray) < len(seen.intake.labels):
        yield Problem("layout", "error", seen.intake.layout_problem, "Put the folders in order first.")


def in_two_splits(seen: Seen) -> Iterator[Problem]:
    """Identities in more than one split: who was seen in training is recognised too easily."""
    known = [i for i, label in enumerate(seen.intake.labels) if label is not None and seen.intake.splits[i]]
    shared = shared_identities([seen.intake.labels[i] for i in known], [seen.intake.splits[i] for i in known])
    if not shared:
        return
    members: dict[str, list[int]] = {}
    for i in known:
        members.setdefault(seen.intake.labels[i], []).append(i)
    cases = [
        seen.together(_one_a_split(seen, members[name]), f"{name}: {' and '.join(places)}")
        for name, places in shared.items()
    ]
    yield Problem(
        "identity leak",
        "error",
        f"{several(len(shared), 'identity', ('is', 'are'))} in more than one split: {listed(list(shared))}. "
        f"Verification will look better than it is, and the data are refused.",
        "Keep all images of an identity in one split, or let splits be cut by identity.",
        tuple(cases),
    )


def _one_a_split(seen: Seen, members: list[int]) -> list[int]:
    first: dict[str, int] = {}
    for i in members:
        first.setdefault(seen.intake.splits[i], i)
    return [first[split] for split in seen.intake.split_names if split in first]


def two_names(seen: Seen) -> Iterator[Problem]:
    """The same photo, or nearly, under two identities: one of them is wrong, or they are one."""
    exact = _pairs_of_names(seen, seen.twins.groups())
    near = _pairs_of_names(seen, seen.twins.clusters())
    near = {names: members for names, members in near.items() if names not in exact}
    for found, kind, severity, words in (
        (exact, "two names", "error", "the same photo"),
        (near, "near two names", "warning", "photos that look nearly the same"),
    ):
        if found:
            yield Problem(
                kind,
                severity,
                f"{several(len(found), 'pair')} of identities {'has' if len(found) == 1 else 'have'} "
                f"{words}: {listed([' and '.join(names) for names in found])}.",
                "If they are one, put their images together; if not, delete the wrong copy. Otherwise the "
                "model is taught to tell equal images apart.",
                tuple(
                    seen.together(
                        members[: 2 * SHOWN], f"{' / '.join(names)}: {several(len(members), 'image')}"
                    )
                    for names, members in found.items()
                ),
            )


def _pairs_of_names(seen: Seen, groups: list[list[int]]) -> dict[tuple[str, str], list[int]]:
    """Return each two identities that share a group of images -> the images of both in such groups."""
    found: dict[tuple[str, str], list[int]] = {}
    for members in groups:
        names = sorted({seen.intake.labels[i] for i in members if seen.intake.labels[i] is not None})
        for place, first in enumerate(names):
            for second in names[place + 1 :]:
                both = [i for i in members if seen.intake.labels[i] in (first, second)]
                found.setdefault((first, second), []).extend(both)
    return found


def too_few(seen: Seen) -> Iterator[Problem]:
    """Identities without an image or with one only, and splits with fewer than two identities."""
    everywhere = {
        name: sum(counts[name] for counts in seen.counts().values()) for name in seen.intake.class_names
    }
    empty = [name for name, count in everywhere.items() if not count]
    if empty:
        yield Problem(
            "empty identity",
            "error",
            f"{several(len(empty), 'identity', ('has', 'have'))} no readable image: {listed(empty)}.",
            'Add images, remove the identity, or leave it out by on_bad_file="skip" (--on-bad-file skip).',
            tuple(Case((), name) for name in empty),
        )
    for split, counts in seen.counts().items():
        there = {name: count for name, count in counts.items() if count}
        where = "" if split == "all" else f" in {split}"
        if len(there) < FEWEST:
            yield Problem(
                "few identities",
                "error" if split in ("all", "train") else "warning",
                f"There {'is one identity' if there else 'is no identity'} only{where}: no pair of different "
                f"ones can be made.",
                "Add images of others.",
            )
        single = [name for name, count in there.items() if count == 1]
        if single and len(there) >= FEWEST:
            yield Problem(
                "single image",
                "warning" if split in ("all", "train") else "note",
                f"{len(single):,} of {several(len(there), 'identity')} "
                f"{'has' if len(single) == 1 else 'have'} one image only{where}: {listed(single)}.",
                "They make no pair of the same: add a second image, or know that they only serve as others.",
                tuple(Case((), name) for name in single),
            )


def balance(seen: Seen) -> Iterator[Problem]:
    """Identities with very many images beside the others."""
    for split, counts in seen.counts().items():
        sizes = {name: count for name, count in counts.items() if count}
        if not sizes:
            continue
        middle = float(np.median(list(sizes.values())))
        large = {name: n for name, n in sizes.items() if n >= max(MANY, UNEVEN * middle)}
        if large:
            where = "" if split == "all" else f" in {split}"
            shown = sorted(large, key=large.get, reverse=True)
            yield Problem(
                "imbalance",
                "warning",
                f"{several(len(large), 'identity', ('has', 'have'))} {UNEVEN:.0f} times as many images"
                f"{where} as the middle one ({middle:g}), or more: "
                f"{listed([f'{name} ({large[name]:,})' for name in shown])}.",
                "Pairs of the same grow with the square, so that figures over all pairs are mostly theirs. "
                "Keep some of their images only, at least where it is measured.",
                tuple(Case((), f"{name}: {large[name]:,}") for name in shown),
            )


IDENTITY_RULES = (in_two_splits, leaks, two_names, copies, layout, too_few, balance, *IMAGE_RULES)
