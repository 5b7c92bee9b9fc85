"""What all that embeds images can do with them, trained or exported."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np

from kerasvision.data import Preprocessing
from kerasvision.data.gathering import gather
from kerasvision.data.landmarks import photos_aligned
from kerasvision.data.wording import listed, several
from kerasvision.errors import DataError
from kerasvision.progress import say
from kerasvision.recipes.predicting import run_batches
from kerasvision.recipes.verified import Verified, checked_threshold

BATCH = 32
EVERYTHING = (0.0, 0.0, 1.0)  # all identities are for the test


class Embeds:
    """Embedding, verification and judging for whatever has these attributes.

    Attributes:
        preprocessing: how a photo becomes an image.
        vectors: (n, h, w, 3) uint8 -> (n, d) float32.
        distance: between embeddings: "euclidean", "squared" or "cosine".
        threshold: up to which two images are called the same.
        false_accept_rate: share of pairs of two identities that it was chosen for.
        trained_on: names of identities that it learned from, as far as they are known.
    """

    finds = "embeddings"
    preprocessing: Preprocessing
    vectors: Callable[[np.ndarray], np.ndarray]
    distance: str
    threshold: float
    false_accept_rate: float | None
    trained_on: frozenset[str] = frozenset()

    def embed(self, images, *, landmarks=None, on_bad_file: str = "raise") -> np.ndarray:
        """Return the embedding of each image.

        Args:
            images: a path, a folder, a pattern such as `"new/*.jpg"`, a PIL image, encoded bytes, a uint8
                array (h, w, 3) or (n, h, w, 3), or a sequence of these.
            landmarks: for an embedder of aligned faces, where the face is on each photo, as for
                `kerasvision.data.identity_folder`; None: the images are aligned already.
            on_bad_file: `"raise"`, or `"skip"`: files that cannot be read are reported and left out.

        Returns:
            (n, dimensions) float32, in the order of the images.

        Raises:
            DataError: no images were found, or of a type that cannot be read; or landmarks for an embedder
                that knows no aligned faces.
            BadImageError: an image cannot be read, or shows no face.
        """
        sources, names = gather(images)
        return self.embed_sources(self._faces(sources, names, landmarks), names, on_bad_file)[0]

    def _faces(self, sources, names, landmarks):
        """Return aligned faces in the place of photos."""
        if landmarks is None:
            return sources
        template = self.preprocessing.alignment
        if template is None:
            raise DataError(
                "`landmarks` are for embedders of aligned faces; the images that this one learned from were "
                "only resized. Leave them out."
            )
        return photos_aligned(sources, names, landmarks, self.preprocessing.image_size[0], template)

    def embed_sources(
        self, sources: Sequence, names: Sequence[str], on_bad_file: str = "raise"
    ) -> tuple[np.ndarray, list[str]]:
        """Return the embeddings of sources that are read one after the other, and the names of the readable.

        Raises:
            BadImageError: an image cannot be read.
        """
        vectors, good = run_batches(
            self.vectors,
            self.preprocessing,
            sources,
            names,
            on_bad_file=on_bad_file,
            batch_size=BATCH,
        )
        return np.concatenate(vectors)[good].astype(np.float32), [names[i] for i in good]

    def verify(self, first, second, *, threshold: float | None = None, landmarks=None) -> Verified:
        """Say whether two images are of one identity.

        Args:
            first: one image, as for `embed`.
            second: one image.
            threshold: distance up to which they are; default: that which was chosen on the validation
                identities for the stated rate of false accepts.
            landmarks: as for `embed`.

        Raises:
            DataError: more than one image is given as one of them.
            BadImageError: an image cannot be read.
        """
        found = []
        for argument, image in (("first", first), ("second", second)):
            sources, names = gather(image)
            if len(sources) > 1:
                raise DataError(
                    f"`{argument}` must be one image. Received: {len(sources)}. `verify_all` compares many."
                )
            found += zip(sources, names, strict=True)
        sources = [source for source, _ in found]
        names = tuple(name if name != "image #1" else f"image #{i}" for i, (_, name) in enumerate(found, 1))
        vectors, _ = self.embed_sources(self._faces(sources, names, landmarks), names)
        return self._verified(vectors, names, [(0, 1)], threshold)[0]

    def verify_all(
        self, images, *, threshold: float | None = None, landmarks=None, on_bad_file: str = "raise"
    ) -> list[Verified]:
        """Say of every two of some images whether they are of one identity.

        Args:
            images: two or more, as for `embed`.
            threshold: as for `verify`.
            landmarks: as for `embed`.
            on_bad_file: as for `embed`.

        Returns:
            n * (n - 1) / 2 answers: the first with the second, with the third, ….

        Raises:
            DataError: fewer than two images.
        """
        sources, names = gather(images)
        faces = self._faces(sources, names, landmarks)
        vectors, names = self.embed_sources(faces, names, on_bad_file)
        if len(names) < 2:
            raise DataError(f"`images` must be two or more, to be compared. Received: {len(names)}.")
        return self._verified(vectors, names, list(combinations(range(len(names)), 2)), threshold)

    def _verified(self, vectors, names, pairs, threshold) -> list[Verified]:
        from kerasvision.metrics import pair_distances

        own = threshold is None
        limit = self.threshold if own else checked_threshold(threshold)
        first, second = np.array(pairs).T
        distances = pair_distances(vectors, first, second, distance=self.distance)
        return [
            Verified(
                names=(names[i], names[j]),
                distance=float(distance),
                threshold=limit,
                false_accept_rate=self.false_accept_rate if own else None,
                same=bool(distance <= limit),
            )
            for (i, j), distance in zip(pairs, distances, strict=True)
        ]

    def evaluate(self, data, split: str | None = None):
        """Judge how well other identities are told apart, at the threshold that is shipped.

        Where names of identities are those of some that were trained on, this is said: the figures are then
        too good.

        Args:
            data: a `VisionData` of identities, or a folder with a folder of images for each.
            split: by default test, else validation, else train (all of data that have no splits).

        Returns:
            An `EmbeddingJudgement`.

        Raises:
            DataError: no such split, or data without identities, or too few of them.
        """
        from kerasvision.recipes import embedding_judging as judging

        if isinstance(data, str | os.PathLike):
            data = self.read(data)
        if getattr(data, "task", None) not in ("embed", "classify"):
            raise DataError(
                "`data` must be a VisionData of identities (task 'embed'). Received: "
                f"{getattr(data, 'task', type(data).__name__)!r}."
            )
        split = split or next((s for s in ("test", "validation", "train") if s in data.splits), None)
        if split not in data.splits:
            raise DataError(f"`split` must be one of {', '.join(data.splits)}. Received: {split!r}.")
        judgement = judging.judge_on(self, data, split).judgement
        self._warn_of_the_trained(data, split)
        return judgement

    def _warn_of_the_trained(self, data, split: str) -> None:
        names = {data.class_names[label] for label in data.splits[split].labels}
        if same := sorted(names & self.trained_on):
            have = "has" if len(same) == 1 else "have"
            say(
                f"{len(same):,} of {several(len(names), 'identity')} {have} the name of one that was trained "
                f"on: {listed(same)}. If they are the same, the figures are too good. Judge on others."
            )

    def read(self, path: str | os.PathLike, *, landmarks=None, on_bad_file: str = "raise"):
        """Return a `VisionData` of a folder with a folder of images for each identity, for `evaluate`.

        Args:
            path: the folder.
            landmarks: as for `embed`.
            on_bad_file: `"raise"` or `"skip"`.
        """
        from kerasvision.data import identity_folder

        settings = self.preprocessing.to_dict()
        template = settings.pop("alignment", None)
        if landmarks is not None:
            settings |= {"landmarks": landmarks, "template": template}
        return identity_folder(
            Path(path).expanduser(),
            by_identity_split=EVERYTHING,
            cache=False,
            on_bad_file=on_bad_file,
            **settings,
        )


@dataclass(frozen=True)
class Embedder(Embeds):
    """An embedder with all that belongs to it.

    Attributes:
        vectors: (n, h, w, 3) uint8 -> (n, d) float32.
        preprocessing: how a photo becomes an image.
        distance: between embeddings.
        threshold: up to which two images are called the same; None before it was chosen.
        false_accept_rate: share of pairs of two identities that it was chosen for.
    """

    vectors: Callable[[np.ndarray], np.ndarray]
    preprocessing: Preprocessing
    distance: str
    threshold: float | None = None
    false_accept_rate: float | None = None

    @classmethod
    def of_model(cls, model, preprocessing: Preprocessing, distance: str) -> "Embedder":
        """Return that of a `keras.Model`, whose weights must not change any more."""
        from kerasvision.training import make_engine

        return cls(make_engine(model, BATCH, "graph").run, preprocessing, distance)

    def at(self, threshold: float, false_accept_rate: float) -> "Embedder":
        """Return the same with a threshold."""
        return replace(self, threshold=threshold, false_accept_rate=false_accept_rate)
