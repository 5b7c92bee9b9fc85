"""Rules on frames of videos: neighbours in two splits, and splits that show one place only."""

from collections.abc import Iterator

from kerasvision.data.doctor.findings import Problem, Seen
from kerasvision.data.doctor.sequences import Video, find_videos
from kerasvision.data.wording import listed, several

MIXED = 0.1  # of the neighbours of a video in two splits: it was cut at random, not in one place
SHOWN = 3  # cuts of a video whose frames are shown


def sequence_leaks(seen: Seen) -> Iterator[Problem]:
    """Videos with frames in several splits, splits of one video, and videos that are not split yet."""
    videos = find_videos(seen.intake.names, seen.exams)
    if not seen.intake.split_names:
        yield from _unsplit(seen, videos)
        return
    leaks = [(video, cuts) for video in videos if (cuts := _cuts(seen, video))]
    if leaks:
        mixed = any(len(cuts) > MIXED * len(video.members) for video, cuts in leaks)
        names = [f"{_named(video)}: {_shares(seen, video)}" for video, _ in leaks]
        yield Problem(
            "sequence leak",
            "error" if mixed else "warning",
            f"{several(len(leaks), 'sequence', ('has', 'have'))} frames in more than one split "
            f"({listed(names)}): what is measured is how well places are known that were trained on"
            f"{', as neighbours of nearly every frame were' if mixed else ''}.",
            "Keep each sequence in one split. Where the split is that of a published benchmark, leave it and "
            "say so beside the figures.",
            tuple(_at_cuts(seen, video, cuts) for video, cuts in leaks),
        )
    yield from _narrow(seen, videos)


def _unsplit(seen: Seen, videos: list[Video]) -> Iterator[Problem]:
    if videos:
        frames = sum(len(video.members) for video in videos)
        names = [f"{_named(video)} ({len(video.members):,})" for video in videos]
        yield Problem(
            "video frames",
            "warning",
            f"{several(frames, 'image', ('looks', 'look'))} like frames of {several(len(videos), 'video')}: "
            f"{listed(names)}. A validation split cut off at random would hold neighbours of training "
            "frames.",
            "Put whole videos into folders train and val (and test), or name a split for each image.",
            tuple(seen.together(video.members[:2], f"{_named(video)}: neighbours") for video in videos),
        )


def _narrow(seen: Seen, videos: list[Video]) -> Iterator[Problem]:
    """Tell held-out splits that show nothing but one video."""
    of = {i: video for video in videos for i in video.members}
    for split in seen.intake.split_names:
        there = [i for i, _ in seen.usable() if seen.intake.splits[i] == split]
        shown = {id(of.get(i)) for i in there}
        if split == "train" or len(shown) != 1 or not there or there[0] not in of:
            continue
        video = of[there[0]]
        yield Problem(
            "narrow split",
            "warning",
            f"All {len(there):,} images of the {split} split are frames of one sequence ({_named(video)}).",
            "Its figures say how one place and one hour are known. Hold out several sequences.",
            (seen.together((there[0], there[len(there) // 2], there[-1]), f"{split}: {_named(video)}"),),
        )


def _cuts(seen: Seen, video: Video) -> list[tuple[int, int]]:
    """Return the neighbours, as pairs of indices, that lie in two splits."""
    pairs = zip(video.members[:-1], video.members[1:], strict=True)
    return [(a, b) for a, b in pairs if seen.intake.splits[a] != seen.intake.splits[b]]


def _at_cuts(seen: Seen, video: Video, cuts: list[tuple[int, int]]):
    frames = dict.fromkeys(i for pair in cuts[:SHOWN] for i in pair)
    note = f"{_named(video)}: {_shares(seen, video)}; frames on both sides of a cut"
    return seen.together(tuple(frames), note)


def _shares(seen: Seen, video: Video) -> str:
    splits = [seen.intake.splits[i] for i in video.members]
    return ", ".join(f"{n:,} in {split}" for split in seen.intake.split_names if (n := splits.count(split)))


def _named(video: Video) -> str:
    return video.name.rstrip("/") or "numbered frames"


SEQUENCE_RULES = (sequence_leaks,)
