"""Rules on duplicates: leaks between splits, one image under two classes, and mere copies."""

from collections.abc import Iterator, Sequence

from kerasvision.data.doctor.findings import Problem, Seen
from kerasvision.data.doctor.rules import TINY
from kerasvision.data.wording import several

REMEDY = 'Keep each in one split only; check(…, clean_list="clean.csv") writes a list without the leaks.'
BOX_REMEDY = "Keep each in one split only."
EASY_PAIRS = (
    "Near copies are easy pairs, which teach little and flatter figures. The clean list keeps one of each; "
    "with near_duplicates=False (--no-near-duplicates) it keeps all."
)


def leaks(seen: Seen) -> Iterator[Problem]:
    """Images in more than one split: the model is examined on what it was taught."""
    exact = [members for members in seen.twins.groups() if _spans(seen.intake.splits, members)]
    if exact:
        yield Problem(
            "leak",
            "error",
            f"{several(len(exact), 'image', ('is', 'are'))} in more than one split "
            f"({_between(seen, exact)}): the accuracy will look better than it is.",
            _remedy(seen),
            tuple(seen.together(members, _sameness(seen, members)) for members in exact),
        )
    near = [c for c in seen.twins.clusters() if _pairs_across(seen, c, seen.intake.splits)]
    if near:
        sizes = [min(seen.exams[i].width, seen.exams[i].height) for cluster in near for i in cluster]
        yield Problem(
            "near leak",
            "error" if max(sizes) >= TINY else "warning",  # small drawings such as digits are alike by nature
            f"{several(len(near), 'image', ('has', 'have'))} a nearly equal copy in another split "
            f"({_between(seen, near)}): resized, saved again, or frames of one scene.",
            "Look at them. " + _remedy(seen),
            tuple(seen.together(cluster, "nearly the same picture") for cluster in near),
        )


def conflicts(seen: Seen) -> Iterator[Problem]:
    """One image under two classes."""
    exact = [members for members in seen.twins.groups() if _spans(seen.intake.labels, members)]
    if exact:
        yield Problem(
            "label conflict",
            "error",
            f"{several(len(exact), 'image', ('lies', 'lie'))} in two classes: one of the labels is wrong.",
            "Decide which class is right and delete the other copy. The clean list leaves all of them out.",
            tuple(seen.together(members, _classes(seen, members)) for members in exact),
        )
    near = [c for c in seen.twins.clusters() if _pairs_across(seen, c, seen.intake.labels)]
    if near:
        yield Problem(
            "near label conflict",
            "warning",
            f"{several(len(near), 'image', ('looks', 'look'))} nearly like one of another class.",
            "Check the labels of these images.",
            tuple(seen.together(cluster, _classes(seen, cluster)) for cluster in near),
        )


def copies(seen: Seen) -> Iterator[Problem]:
    """Copies within one class and split."""
    keep = "Keep one of each (the clean list does)" if seen.intake.classified else "Keep one of each"
    among = f" in the same {seen.intake.noun}" if seen.intake.classified else ""
    cut_apart = bool(seen.intake.split_names) or seen.intake.identities  # identities are never cut
    advice = (
        f"{keep}: a copy teaches nothing new."
        if cut_apart
        else f"{keep}: cutting off a validation split would put copies on both sides."
    )
    exact = [members for members in seen.twins.groups() if _plain(seen, members)]
    if exact:
        spare = sum(len(members) - 1 for members in exact)
        yield Problem(
            "duplicates",
            "warning",
            f"{several(spare, 'image', ('is a copy', 'are copies'))} of another one{among}.",
            advice,
            tuple(seen.together(members, _sameness(seen, members)) for members in exact),
        )
    near = [cluster for cluster in seen.twins.clusters() if _plain(seen, cluster)]
    if near:
        spare = sum(len(set(seen.twins.group[cluster])) - 1 for cluster in near)
        yield Problem(
            "near duplicates",
            "warning",
            f"{several(spare, 'image', ('looks', 'look'))} nearly like another one{among}.",
            "Look at them. " + (EASY_PAIRS if seen.intake.identities else advice),
            tuple(seen.together(cluster, "nearly the same picture") for cluster in near),
        )
    if not seen.twins.complete:
        yield Problem(
            "too many alike",
            "warning",
            f"The search for near duplicates stopped after {len(seen.twins.pairs):,} pairs.",
            "These look like frames of videos: split by video, not by frame.",
        )


def _remedy(seen: Seen) -> str:
    return REMEDY if seen.intake.classified else BOX_REMEDY


TWIN_RULES = (leaks, conflicts, copies)


def _spans(values: Sequence, members: Sequence[int]) -> bool:
    return len({values[i] for i in members}) > 1


def _plain(seen: Seen, members: Sequence[int]) -> bool:
    return not _spans(seen.intake.splits, members) and not _spans(seen.intake.labels, members)


def _pairs_across(seen: Seen, cluster: Sequence[int], values: Sequence) -> bool:
    """Tell whether images of different pixels in a cluster differ in `values` (equal ones are told apart)."""
    by_group = {}
    for i in cluster:
        by_group.setdefault(int(seen.twins.group[i]), set()).add(values[i])
    return len(set.union(*by_group.values())) > 1 and len({frozenset(v) for v in by_group.values()}) > 1


def _sameness(seen: Seen, members: Sequence[int]) -> str:
    same = len({seen.exams[i].file_digest for i in members}) == 1
    return "the same file" if same else "the same pixels"


def _classes(seen: Seen, members: Sequence[int]) -> str:
    return " / ".join(dict.fromkeys(str(seen.intake.labels[i]) for i in members))


def _between(seen: Seen, groups: Sequence[Sequence[int]]) -> str:
    counts: dict[str, int] = {}
    for members in groups:
        present = {seen.intake.splits[i] for i in members}
        sides = " and ".join(split for split in seen.intake.split_names if split in present)
        counts[sides] = counts.get(sides, 0) + 1
    return ", ".join(f"{count:,} in {sides}" for sides, count in counts.items())
