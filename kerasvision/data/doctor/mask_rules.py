"""Rules on masks: those that cannot be used, those that hold no labels, and classes that hardly occur."""

from collections import Counter
from collections.abc import Iterator

from kerasvision.data.doctor.findings import Case, Problem, Seen
from kerasvision.data.mask_coding import MOST_COLOURS
from kerasvision.data.wording import listed, several
from kerasvision.metrics.segmentation import VOID

SKIP = 'Mend them, or leave them out by on_bad_file="skip".'
TELL = (
    "Say what the values mean as you load them, and check what is loaded: "
    'check(masks(images, masks, class_names=… or colours=…, on_bad_file="skip")).'
)
FEW_IMAGES = 10  # in training, on which a class occurs
RARE = 0.001  # of the pixels that are not void
MUCH_VOID = 0.3  # of all pixels
MOST_ALONE = 0.5  # of all masks, that show one class only
VALUES_SHOWN = 6


def broken_masks(seen: Seen) -> Iterator[Problem]:
    """Images without mask, masks without image, and masks that cannot be used."""
    masks = seen.intake.masks
    bare = [(i, "") for i, name in enumerate(masks.names) if name is None]
    if bare:
        yield Problem(
            "no mask",
            "error",
            f"{several(len(bare), 'image', ('has', 'have'))} no mask.",
            "Add masks of the same name, or leave these images out "
            '(on_bad_file="skip"): without a mask nothing can be learnt from them.',
            seen.cases(bare),
        )
    if masks.alone:
        yield Problem(
            "no image",
            "error" if len(masks.alone) > len(masks.names) else "warning",
            f"{several(len(masks.alone), 'mask', ('belongs', 'belong'))} to no image.",
            "Add the images, or correct the names: a mask is called as its image.",
            tuple(Case((name,), reason) for name, reason in masks.alone),
        )
    broken = [(i, e) for i, e in enumerate(seen.masks) if e is not None and e.reason]
    lost = [(i, exam.reason) for i, exam in broken if not exam.lossy]
    if lost:
        yield Problem(
            "unreadable mask",
            "error",
            f"{several(len(lost), 'mask', ('cannot', 'cannot'))} be used.",
            SKIP,
            _mask_cases(seen, lost),
        )
    lossy = [(i, f"saved as {exam.lossy}") for i, exam in broken if exam.lossy]
    if lossy:
        yield Problem(
            "lossy mask",
            "error",
            f"{several(len(lossy), 'mask', ('is', 'are'))} saved with loss "
            f"({listed(sorted({exam.lossy for _, exam in broken if exam.lossy}))}): near edges labels turn "
            "into others.",
            "Export the masks again as PNG. Converting these files does not bring the labels back.",
            _mask_cases(seen, lossy),
        )


def mask_sizes(seen: Seen) -> Iterator[Problem]:
    """Masks of another size than their image."""
    found, turned = [], 0
    for i, exam in seen.usable_masks():
        photo = seen.exams[i]
        size = (photo.height, photo.width)
        if not photo.reason and exam.size != size:
            lying = photo.orientation >= 5 and exam.size == size[::-1]
            turned += lying
            words = "; EXIF turns the photo, but not its mask" if lying else ""
            found.append((i, f"mask {_size(*exam.size)}, image {_size(*size)}{words}"))
    if found:
        advice = (
            "Find the original photos, or resize the masks by nearest neighbour (no other interpolation)."
        )
        if turned:
            advice += ' Where EXIF turns photos, load with mask_orientation="stored", if all masks lie so.'
        yield Problem(
            "mask size",
            "error",
            f"{several(len(found), 'mask', ('has', 'have'))} another size than the image.",
            advice,
            _pair_cases(seen, found),
        )


def soft_masks(seen: Seen) -> Iterator[Problem]:
    """Masks with values at edges that are made of those on both sides."""
    soft = [
        (i, f"{exam.softness:.0%} of the steps at edges go over a value in between")
        for i, exam in seen.usable_masks()
        if exam.soft
    ]
    if soft:
        yield Problem(
            "soft mask",
            "error",
            f"{several(len(soft), 'mask', ('has', 'have'))} soft edges: resized by interpolation, drawn with "
            "anti-aliasing, or once saved as JPEG. The values in between are no labels, or wrong ones.",
            "Make them anew from the originals: resize by nearest neighbour, draw without anti-aliasing.",
            _mask_cases(seen, soft),
        )


def classes_told(seen: Seen) -> Iterator[Problem]:
    """Masks from which it cannot be told what the classes are, and masks of 0 and 255 alone."""
    if seen.intake.masks.problem:
        # Where all are broken or soft, that says why.
        if any(not exam.soft or len(exam.values) > MOST_COLOURS for _, exam in seen.usable_masks()):
            yield Problem("classes", "error", seen.intake.masks.problem, TELL)
    elif seen.binary:
        label = seen.intake.masks.meaning.get(VOID, VOID)
        names = seen.intake.class_names
        first = [(i, "") for i, _ in seen.usable_masks()][:1]
        words = "The masks hold nothing but 0 and 255: an object on its background. "
        if label == VOID:
            yield Problem(
                "binary mask",
                "error",
                words + "But 255 is void here, so that the object would never be learnt.",
                'Load with class_names={0: "background", 255: "object"}, or save 1 in the place of 255.',
                _mask_cases(seen, first),
            )
        else:
            yield Problem(
                "binary mask",
                "note",
                words + f"255 is taken for the class {names[label]}, not for void.",
                "If that is what you mean, give the classes names by "
                'class_names={0: "background", 255: "object"}.',
                _mask_cases(seen, first),
            )


def unknown_values(seen: Seen) -> Iterator[Problem]:
    """Values (or colours) that stand for no class."""
    known, found, pixels, total = seen.intake.masks.meaning, [], {}, 0
    for i, exam in seen.usable_masks():
        total += exam.pixels
        if exam.soft or seen.intake.masks.problem:
            continue  # which says why
        strange = {value: count for value, count in exam.values.items() if value not in known}
        for value, count in strange.items():
            pixels[value] = pixels.get(value, 0) + count
        if strange:
            found.append((i, _told(strange, exam.pixels)))
    if not found:
        return
    by_colour = any(isinstance(value, tuple) for value in pixels)
    what = "colour" if by_colour else "value"
    most = sorted(pixels, key=lambda value: -pixels[value])
    names = listed([str(value) for value in most], VALUES_SHOWN)
    yield Problem(
        "unknown colour" if by_colour else "out of range",
        "error",
        f"{several(len(found), 'mask', ('has', 'have'))} {what}s that stand for no class: {names} "
        f"({sum(pixels.values()) / total:.2%} of all pixels).",
        "Pass the table of colours (`colours`), or correct the masks."
        if by_colour
        else f"{_range(seen)} Name the classes that are missing, say which value is void, or correct the "
        "masks.",
        _mask_cases(seen, found),
    )


def palettes(seen: Seen) -> Iterator[Problem]:
    """Palette images on which a number stands for another colour than on most: is it another class?"""
    if seen.intake.masks.coloured:
        return
    counts: dict[int, Counter] = {}
    for _, exam in seen.usable_masks():
        for value, colour in exam.palette.items():
            counts.setdefault(value, Counter())[colour] += 1
    usual = {value: colours.most_common(1)[0][0] for value, colours in counts.items()}
    found = []
    for i, exam in seen.usable_masks():
        other = sorted(value for value, colour in exam.palette.items() if colour != usual[value])
        if other:
            value = other[0]
            found.append((i, f"{value} is {exam.palette[value]} here, {usual[value]} on most"))
    if found:
        yield Problem(
            "palette",
            "warning",
            f"{several(len(found), 'mask', ('shows', 'show'))} numbers in other colours than most do.",
            "What counts are the numbers. If a program chose them file by file, they mean something else on "
            "each: then pass the table of colours, or export the masks again with one palette.",
            _mask_cases(seen, found),
        )


def poor_masks(seen: Seen) -> Iterator[Problem]:
    """Masks without any label, masks of one class, and much that is void."""
    counted = [(i, exam, seen.mask_pixels(i)) for i, exam in seen.usable_masks() if not exam.soft]
    if not counted or seen.intake.masks.problem:
        return
    void = [(i, "") for i, _, pixels in counted if not pixels]
    if void:
        yield Problem(
            "void mask",
            "warning",
            f"{several(len(void), 'mask', ('is', 'are'))} void from edge to edge.",
            "Label them, or leave them out: nothing is learnt from them.",
            _pair_cases(seen, void),
        )
    names = seen.intake.class_names
    single = [(i, names[next(iter(pixels))]) for i, _, pixels in counted if len(pixels) == 1]
    if single:
        kinds = sorted({name for _, name in single})
        everywhere = len(single) + len(void) == len(counted) and len(kinds) == 1
        yield Problem(
            "single class",
            "error" if everywhere else "warning" if len(single) > MOST_ALONE * len(counted) else "note",
            f"{several(len(single), 'mask', ('shows', 'show'))} one class only: {listed(kinds)}.",
            "There is nothing to tell apart: are these the right masks?"
            if everywhere
            else "Fine where an image shows nothing else. Make sure that nothing was forgotten on them.",
            _pair_cases(seen, single),
        )
    if seen.void_share > MUCH_VOID:
        yield Problem(
            "much void",
            "warning",
            f"{seen.void_share:.0%} of all pixels are void: they take no part in training or judging.",
            "Is void meant to be a class, such as the background? Then say so and give it a name.",
        )


def mask_balance(seen: Seen) -> Iterator[Problem]:
    """Classes that do not occur in a split, or hardly."""
    slip = "" if seen.intake.masks.named else " If it is a slip and no class, correct the masks."
    for split, counts in seen.counts().items():
        training, where = split in ("all", "train"), "" if split == "all" else f" in {split}"
        empty = [name for name, count in counts.items() if not count]
        if empty:
            yield Problem(
                "empty class",
                "warning",
                f"{several(len(empty), 'class', ('has', 'have'))} no pixel{where}: {listed(empty)}.",
                "They cannot be learnt. Label some, or remove them from the classes."
                if training
                else "How well these classes are found cannot be measured there: move some images.",
                tuple(Case((), name) for name in empty),
            )
        rare = _rare(seen, split) if training else {}
        if rare:
            yield Problem(
                "rare class",
                "warning",
                f"{several(len(rare), 'class', ('is', 'are'))} rare{where}: "
                f"{listed([f'{name} ({words})' for name, words in rare.items()])}.",
                'More images of them help most. Train with class_weights="auto" or a Dice or Lovász loss, '
                "and judge by the IoU of each class." + slip,
                tuple(Case(_showing(seen, split, name), f"{name}: {words}") for name, words in rare.items()),
            )


def _rare(seen: Seen, split: str) -> dict[str, str]:
    """Return the classes that hardly occur in a split, and how often they do."""
    pixels = {name: count for name, (_, count) in seen.shown[split].items()}
    total = sum(pixels.values()) or 1
    few = min(FEW_IMAGES, 0.5 * seen.masks_in(split))  # of few images all classes are on few
    found = {}
    for name, (images, count) in seen.shown[split].items():
        if images and (images < few or count < RARE * total):
            share = f"{count / total:.2%} of the" if count >= 5e-5 * total else f"{count:,}"
            found[name] = f"{share} pixels, on {several(images, 'image')}"
    return found


def _showing(seen: Seen, split: str, name: str) -> tuple[str, ...]:
    """Return a mask on which a class is, with its image."""
    label = seen.intake.class_names.index(name)
    there = (i for i, _ in seen.usable_masks() if (seen.intake.splits[i] or "all") == split)
    pairs = (
        (seen.intake.names[i], seen.intake.masks.names[i]) for i in there if label in seen.mask_pixels(i)
    )
    return tuple(dict.fromkeys(next(pairs)))


def few_masks(seen: Seen) -> Iterator[Problem]:
    """Hardly any masks to learn from."""
    for split in {"all", "train"} & set(seen.shown):
        count = seen.masks_in(split)
        if 0 < count < FEW_IMAGES:
            yield Problem(
                "few images",
                "warning",
                f"There {'is' if count == 1 else 'are'} only {several(count, 'image')} with a mask"
                f"{'' if split == 'all' else f' in {split}'}.",
                "Enough to see that everything works; label more before you judge a model by it.",
            )


def mask_conflicts(seen: Seen) -> Iterator[Problem]:
    """One image with two different masks."""
    found = []
    for members in seen.twins.groups():
        digests = {seen.masks[i].digest for i in members if seen.masks[i] and not seen.masks[i].reason}
        if len(digests) > 1:
            found.append(seen.together(members, "the same picture, different masks"))
    if found:
        yield Problem(
            "mask conflict",
            "warning",
            f"{several(len(found), 'image', ('is', 'are'))} there more than once, with masks that differ.",
            "Decide which mask is right and delete the other copies.",
            tuple(found),
        )


def _mask_cases(seen: Seen, found: list[tuple[int, str]]) -> tuple[Case, ...]:
    """Return a case for each (index of an image, note), naming its mask."""
    return tuple(Case((seen.intake.masks.names[i],), note) for i, note in found)


def _pair_cases(seen: Seen, found: list[tuple[int, str]]) -> tuple[Case, ...]:
    """Return a case for each (index, note), naming image and mask."""
    names = ((seen.intake.names[i], seen.intake.masks.names[i], note) for i, note in found)
    return tuple(Case((image,) if image == mask else (image, mask), note) for image, mask, note in names)


def _told(values: dict, total: int) -> str:
    shown = sorted(values, key=lambda value: -values[value])
    return listed([f"{str(value)} ({values[value] / total:.2%})" for value in shown], VALUES_SHOWN)


def _range(seen: Seen) -> str:
    known = sorted(value for value, label in seen.intake.masks.meaning.items() if label != VOID)
    void = sorted(value for value, label in seen.intake.masks.meaning.items() if label == VOID)
    runs = known == list(range(len(known)))
    words = (
        f"from 0 to {len(known) - 1}" if runs else listed([str(value) for value in known], 2 * VALUES_SHOWN)
    )
    return f"Classes are {words}, void is {listed([str(value) for value in void]) or 'nothing'}."


def _size(height: int, width: int) -> str:
    return f"{width} × {height}"


MASK_RULES = (
    broken_masks,
    mask_sizes,
    classes_told,
    unknown_values,
    soft_masks,
    palettes,
    mask_conflicts,
    poor_masks,
    few_masks,
    mask_balance,
)
