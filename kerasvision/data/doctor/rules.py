"""Rules on files, classes and shapes: each is a function from what was seen to problems."""

import os
import re
from collections import Counter
from collections.abc import Iterator

from kerasvision.data.doctor.findings import Case, Problem, Seen
from kerasvision.data.wording import by_suffix, listed, several

FEW = 20  # training images of a class below which a frozen backbone learns little of it
FEW_HELD_OUT = 10
UNEVEN = 5.0  # largest class over smallest
TINY = 32  # pixels of the shorter side
HUGE = 40e6  # pixels
LONG = 3.0  # longer side over shorter
BLANK = 2.0  # standard deviation in grey levels
_SEPARATOR = re.compile(r"(?<=\w)[\s_-]+(?=\w)")
SUFFIXES = {
    "JPEG": "jpg jpeg jpe jfif mpo",
    "PNG": "png",
    "WEBP": "webp",
    "GIF": "gif",
    "BMP": "bmp dib",
    "DIB": "bmp dib",
    "TIFF": "tif tiff",
    "PPM": "ppm pgm pbm pnm",
    "AVIF": "avif",
}
MODES = {
    "L": "grey images are repeated into three channels",
    "1": "black-and-white images become RGB",
    "P": "palette images become RGB",
    "RGBA": "transparent parts are laid over white",
    "LA": "transparent parts are laid over white",
    "PA": "transparent parts are laid over white",
    "CMYK": "print colours (CMYK) are converted without a colour profile",
    "I;16": "16-bit grey is scaled to 8 bits",
    "I;16B": "16-bit grey is scaled to 8 bits",
    "I": "16-bit grey is scaled to 8 bits",
    "YCbCr": "YCbCr becomes RGB",
}


def unreadable(seen: Seen) -> Iterator[Problem]:
    """Files that cannot be decoded, and those that were left out for it as the data were loaded."""
    cases = seen.cases((i, exam.reason) for i, exam in enumerate(seen.exams) if exam.reason)
    if cases:
        yield Problem(
            "unreadable",
            "error",
            f"{several(len(cases), _unusable(seen), ('cannot', 'cannot'))} be used.",
            'Replace or remove them, or leave them out by on_bad_file="skip" (--on-bad-file skip).',
            cases,
        )
    skipped = tuple(Case((name,), reason) for name, reason in seen.intake.skipped)
    if skipped:
        yield Problem(
            "unreadable",
            "note",
            f"{several(len(skipped), _unusable(seen), ('was', 'were'))} left out as the data were loaded.",
            "Nothing, if you can do without; else replace or mend what you need.",
            skipped,
        )


def _unusable(seen: Seen) -> str:
    return "image" if seen.intake.classified else "file"


def layout(seen: Seen) -> Iterator[Problem]:
    """Folders that `image_folder` refuses, and images without a class."""
    yield from stray_images(seen)
    if seen.intake.layout_problem and not all(label is None for label in seen.intake.labels):
        yield Problem("layout", "error", seen.intake.layout_problem, "Put the folders in order first.")
    elif len(seen.intake.class_names) == 1:
        only = seen.intake.class_names[0]
        yield Problem(
            "one class", "error", f"There is only one class, {only!r}.", "A classifier needs at least two."
        )


def stray_images(seen: Seen) -> Iterator[Problem]:
    """Images that lie beside the folders of classes or identities."""
    stray = [i for i, label in enumerate(seen.intake.labels) if label is None]
    noun = seen.intake.noun
    if stray:
        yield Problem(
            f"no {noun}",
            "error",
            f"{several(len(stray), 'image', ('lies', 'lie'))} beside the {noun} folders and so "
            f"{'has' if len(stray) == 1 else 'have'} no {noun}.",
            f"Move them into the folder of their {noun}.",
            seen.cases((i, "") for i in stray),
        )


def empty_classes(seen: Seen) -> Iterator[Problem]:
    """Classes without a readable image, in all or in one split."""
    known: set[str] = set()  # a class that is empty in training is not named again for the other splits
    for split, counts in sorted(seen.counts().items(), key=lambda pair: pair[0] != "train"):
        empty = [name for name, count in counts.items() if not count and name not in known]
        known.update(empty if split == "train" else ())
        if empty:
            serious = split in ("all", "train")
            where = "" if split == "all" else f" in {split}"
            yield Problem(
                "empty class",
                "error" if serious else "warning",
                f"{several(len(empty), 'class', ('has', 'have'))} no readable image{where}: {listed(empty)}.",
                "Add images, or remove the class."
                if serious
                else "Add some: how well these classes are recognised could not be measured.",
                tuple(Case((), name) for name in empty),
            )


def alike_names(seen: Seen) -> Iterator[Problem]:
    """Classes whose names differ in nothing but capitals, spaces, hyphens and underscores."""
    alike: dict[str, list[str]] = {}
    for name in seen.intake.class_names:
        alike.setdefault(_SEPARATOR.sub("", name.casefold()), []).append(name)
    found = [names for names in alike.values() if len(names) > 1]
    if found:
        yield Problem(
            "alike names",
            "warning",
            f"{seen.intake.nouns.capitalize()} that are called nearly the same: "
            f"{listed([' and '.join(names) for names in found])}.",
            "If they mean the same, put their images into one folder.",
            tuple(Case((), " / ".join(names)) for names in found),
        )


def balance(seen: Seen) -> Iterator[Problem]:
    """Classes with few images, and classes of very different size."""
    for split, counts in seen.counts().items():
        filled = {name: count for name, count in counts.items() if count}
        training = split in ("all", "train")
        least = FEW if training else FEW_HELD_OUT
        few = {name: count for name, count in filled.items() if count < least}
        where = "" if split == "all" else f" in {split}"
        if few:
            yield Problem(
                "few images",
                "warning" if training else "note",
                f"{several(len(few), 'class', ('has', 'have'))} fewer than {least} images{where}: "
                f"{listed([f'{name} ({count})' for name, count in few.items()])}.",
                "More photos of these classes will help more than anything else."
                if training
                else "The figures of these classes will be rough.",
                tuple(Case((), f"{name}: {count}") for name, count in few.items()),
            )
        if training and len(filled) > 1:
            yield from _uneven(filled, where)


def _uneven(counts: dict[str, int], where: str) -> Iterator[Problem]:
    large, small = max(counts, key=counts.get), min(counts, key=counts.get)
    ratio = counts[large] / counts[small]
    if ratio >= UNEVEN:
        yield Problem(
            "imbalance",
            "warning",
            f"{large} has {counts[large]:,} images{where}, {small} only {counts[small]:,} "
            f"({ratio:.0f} times fewer).",
            'Train with class_weights="auto", judge by the recall of each class, or add images.',
            (Case((), f"{large}: {counts[large]:,}"), Case((), f"{small}: {counts[small]:,}")),
        )


def suffixes(seen: Seen) -> Iterator[Problem]:
    """Names that do not say what the file is."""
    wrong = [
        (i, f"holds {exam.format}")
        for i, exam in seen.usable()
        if (suffix := _suffix(seen.intake.names[i]))
        and suffix not in SUFFIXES.get(exam.format, suffix).split()
    ]
    if wrong:
        yield Problem(
            "wrong suffix",
            "warning",
            f"{several(len(wrong), 'file', ('is', 'are'))} of another format than the name says.",
            "They are read by their content here, but other tools may fail: rename them.",
            seen.cases(wrong),
        )
    if seen.intake.hidden:
        yield Problem(
            "hidden image",
            "warning",
            f"{several(len(seen.intake.hidden), 'image', ('is', 'are'))} ignored, as the name does not end "
            "like an image's.",
            "Rename them, for example to end in .jpg.",
            tuple(Case((name,), f"holds {kind}") for name, kind in seen.intake.hidden),
        )


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower().removeprefix(".")


def shapes(seen: Seen) -> Iterator[Problem]:
    """Images that are very small, large, long, or of one colour."""
    blank = [(i, "one colour") for i, e in seen.usable() if e.spread < BLANK]
    if blank:
        yield Problem(
            "blank",
            "warning",
            f"{several(len(blank), 'image', ('shows', 'show'))} nothing: all pixels are alike.",
            "Remove them: they teach the model noise.",
            seen.cases(blank),
        )
    tiny = [(i, f"{e.width} × {e.height}") for i, e in seen.usable() if min(e.width, e.height) < TINY]
    if tiny:
        all_tiny = len(tiny) > len(seen.exams) / 2
        yield Problem(
            "tiny",
            "note" if all_tiny else "warning",
            f"{several(len(tiny), 'image', ('is', 'are'))} smaller than {TINY} pixels on a side.",
            "Choose an image_size and a model for small images."
            if all_tiny
            else "Thumbnails? Find the originals.",
            seen.cases(tiny),
        )
    long = [
        (i, f"{e.width} × {e.height}")
        for i, e in seen.usable()
        if max(e.width, e.height) > LONG * min(e.width, e.height)
    ]
    if long:
        yield Problem(
            "long",
            "warning",
            f"{several(len(long), 'image', ('is', 'are'))} more than {LONG:.0f} times as long as wide.",
            'Stretched to a square they are distorted: load with resize="pad", or crop them.',
            seen.cases(long),
        )
    huge = [
        (i, f"{e.width * e.height / 1e6:.0f} megapixels")
        for i, e in seen.usable()
        if e.width * e.height > HUGE
    ]
    if huge:
        yield Problem(
            "huge",
            "note",
            f"{several(len(huge), 'image', ('has', 'have'))} more than {HUGE / 1e6:.0f} megapixels.",
            "Fine, but the first epoch will be slow; smaller copies train as well.",
            seen.cases(huge),
        )


def colours(seen: Seen) -> Iterator[Problem]:
    """Colour modes that are converted, and photos that are turned by EXIF."""
    modes = Counter(exam.mode for _, exam in seen.usable())
    if set(modes) != {"L"}:  # a grey data set as a whole is no surprise
        found = [(i, MODES[exam.mode]) for i, exam in seen.usable() if exam.mode in MODES]
        if found:
            kinds = ", ".join(f"{count:,} {mode}" for mode, count in modes.most_common() if mode in MODES)
            yield Problem(
                "colour mode",
                "note",
                f"{several(len(found), 'image', ('is', 'are'))} not stored as RGB ({kinds}).",
                "They are converted. But if most of them are of one class, the model may learn the format.",
                seen.cases(found),
            )
    turned = [(i, f"orientation {e.orientation}") for i, e in seen.usable() if e.orientation != 1]
    if turned:
        yield Problem(
            "turned",
            "note",
            f"{several(len(turned), 'photo', ('is', 'are'))} stored turned, with a mark in EXIF.",
            "Nothing to do here: the mark is honoured. Your app must do so, too.",
            seen.cases(turned),
        )


def leftovers(seen: Seen) -> Iterator[Problem]:
    """Other files, and links that lead back."""
    if seen.intake.repeated:
        yield Problem(
            "repeated link",
            "note",
            f"{several(len(seen.intake.repeated), 'link', ('leads', 'lead'))} to a folder already read.",
            "Left out, so that nothing counts twice.",
            tuple(Case((name,)) for name in seen.intake.repeated),
        )
    others = Counter(dict(seen.intake.others))
    others.subtract(f".{suffix}" if (suffix := _suffix(name)) else "" for name, _ in seen.intake.hidden)
    others = +others
    if others:
        yield Problem(
            "other files",
            "note",
            f"{several(others.total(), 'file', ('is', 'are'))} no image and ignored ({by_suffix(others)}).",
            "Nothing to do if that is what you expect.",
        )


# Of classes, splits and folders boxes and masks have rules of their own (`box_rules`, `mask_rules`).
IMAGE_RULES = (unreadable, alike_names, suffixes, shapes, colours, leftovers)
RULES = (unreadable, layout, empty_classes, alike_names, balance, suffixes, shapes, colours, leftovers)
