"""Which anchor learns which box, which learn that there is none, and which are left alone."""

import tensorflow as tf

from kerasvision.detection.box_coding import pairwise_coverage, pairwise_iou

BACKGROUND, IGNORED = -1, -2
INSIDE_CROWD = 0.5  # share of an anchor that must lie in a crowd for it not to be background


def assign(
    anchors,
    boxes,
    classes,
    crowd,
    *,
    overlap: float = 0.5,
    background: float | None = None,
    force: bool = True,
):
    """Assign the boxes of a batch of images to anchors.

    Args:
        anchors: (n, 4) float32, xyxy.
        boxes: (b, m, 4) float32, xyxy.
        classes: (b, m) int, -1 is padding.
        crowd: (b, m) bool: these are matched to nothing, and anchors half of which lies in one are not
            background.
        overlap: anchors with a larger IoU than this learn the box that they overlap most.
        background: anchors whose IoU is at most this are background; what lies between is left alone.
            Default: `overlap`.
        force: each box is also learnt by the anchor that fits it best, whatever the overlap, as
            `best_anchors` says.

    Returns:
        (b, n) int32: index of a box, `BACKGROUND` (-1), or `IGNORED` (-2). Boxes without area, and those that
        overlap with no anchor at all, are matched to nothing.
    """
    anchors = tf.convert_to_tensor(anchors, tf.float32)

    def one(image):
        box, label, many = image
        real = (label >= 0) & ~many
        # Compared image by image: with 24,564 anchors, a batch at once would take gigabytes.
        overlaps = tf.where(real[:, None], pairwise_iou(box, anchors), 0.0)
        matched = match(overlaps, overlap=overlap, background=background, force=force)
        covered = tf.where((label >= 0) & many, pairwise_coverage(anchors, box), 0.0)
        in_crowd = tf.reduce_any(covered > INSIDE_CROWD, axis=1)
        return tf.where(in_crowd & (matched == BACKGROUND), IGNORED, matched)

    signature = tf.TensorSpec((anchors.shape[0],), tf.int32)
    return tf.map_fn(one, (boxes, classes, crowd), fn_output_signature=signature)


def match(overlaps, *, overlap: float, background: float | None = None, force: bool = True):
    """Match anchors to the boxes of one image by their overlaps.

    Args:
        overlaps: (m, n) float32 IoU of m boxes with n anchors; m is at least 1.
        overlap: as for `assign`.
        background: as for `assign`.
        force: as for `assign`.

    Returns:
        (n,) int32: index of a box, `BACKGROUND` or `IGNORED`.
    """
    best = tf.argmax(overlaps, axis=0, output_type=tf.int32)
    value = tf.reduce_max(overlaps, axis=0)
    other = BACKGROUND
    if background is not None:
        other = tf.where(value > background, IGNORED, BACKGROUND)
    matched = tf.where(value > overlap, best, other)
    if not force:
        return matched
    anchor = best_anchors(overlaps)
    there = tf.where(anchor >= 0)
    return tf.tensor_scatter_nd_update(
        matched, tf.gather_nd(anchor, there)[:, None], tf.cast(there[:, 0], tf.int32)
    )


def best_anchors(overlaps):
    """Give each box an anchor of its own: again and again the pair that overlaps most of all that are free.

    Boxes ask for the anchor that they overlap most, anchors keep the box with the largest overlap and refuse
    the others, which ask for their next best, until nobody is refused. This gives the same pairs, in a few
    rounds instead of one for each box.

    Args:
        overlaps: (m, n) IoU of m boxes with n anchors.

    Returns:
        (m,) int32: the anchor of each box, -1 for those that overlap with none that is free. Of equal
        overlaps, those of the first box, then of the first anchor go first.
    """
    count, anchors = tf.shape(overlaps)[0], tf.range(tf.shape(overlaps)[1])
    earlier = tf.range(count)[None] < tf.range(count)[:, None]

    def ask(free):
        return tf.argmax(free, axis=1, output_type=tf.int32), tf.reduce_max(free, axis=1)

    def refused(choice, value):
        better = (value[None] > value[:, None]) | ((value[None] == value[:, None]) & earlier)
        rivals = (choice[None] == choice[:, None]) & (value[None] > 0)
        return tf.reduce_any(rivals & better, axis=1) & (value > 0)

    def turn(free, lost):
        choice, _ = ask(free)
        free = tf.where(lost[:, None] & (anchors[None] == choice[:, None]), 0.0, free)
        return free, refused(*ask(free))

    free, _ = tf.while_loop(lambda _, lost: tf.reduce_any(lost), turn, (overlaps, refused(*ask(overlaps))))
    choice, value = ask(free)
    return tf.where(value > 0, choice, -1)


def hard_negatives(losses, candidates, positives, *, ratio: float = 3.0, at_least: int = 0):
    """Choose the background that is hardest to tell, in each image for itself.

    Args:
        losses: (b, n) float32: what each anchor would cost as background, never negative.
        candidates: (b, n) bool: which may be chosen.
        positives: (b,) int: how many anchors of the image have a box.
        ratio: as many are chosen for each positive, if there are.
        at_least: and so many where positives are fewer; 0 as in the paper, so that images without boxes teach
            nothing.

    Returns:
        (b, n) bool. Of equal losses, the first are chosen.

    Liu et al. 2016, section 2.2, https://arxiv.org/abs/1512.02325
    """
    order = tf.argsort(tf.where(candidates, losses, -1.0), direction="DESCENDING", stable=True)
    rank = tf.argsort(order)
    wanted = tf.maximum(ratio * tf.cast(positives, tf.float32), float(at_least))
    return candidates & (tf.cast(rank, tf.float32) < wanted[:, None])
