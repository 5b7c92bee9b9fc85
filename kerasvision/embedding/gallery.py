"""People who are enrolled with photos, to be recognised on others."""

import os
import threading
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from kerasvision.data.gathering import gather
from kerasvision.data.reading import check_mode, report_skipped
from kerasvision.data.wording import listed
from kerasvision.embedding.gallery_file import check_is_gallery, read_gallery, write_gallery
from kerasvision.embedding.gallery_photos import (
    Photos,
    checked_name,
    checked_vectors,
    digest,
    embed_photos,
    embedded,
    photos_of_people,
)
from kerasvision.embedding.gallery_records import Records
from kerasvision.embedding.gallery_search import Found, NearestPeople, Search, check_search, make_search
from kerasvision.embedding.gallery_values import Candidate, Enrolled, Identified
from kerasvision.errors import BadImageError, DataError, KerasvisionError, unknown_name
from kerasvision.files import locked
from kerasvision.metrics.embedding_distances import check_distance
from kerasvision.progress import say


class Gallery:
    """People (products, animals, …) with photos of each, to tell who is on another photo, or that nobody is.

    The search is exact: a photo is compared with all that are enrolled. Somebody is recognised whose nearest
    photo is at a distance of at most the embedder's threshold. Threads may enrol and identify at once.

    Args:
        embedder: what has `.embed(images) -> (n, d)`, `.fingerprint`, `.threshold` and `.distance`: a run of
            `train_face_embedder`, or an exported file that was opened.
        search: `"numpy"`, `"faiss"`, or `"auto"`: faiss from 100,000 photos on, where it is installed.

    Example::

        gallery = kv.embedding.Gallery.build(run, "employees/")
        gallery.save("employees.gallery")
        print(gallery.identify("who.jpg", k=3))
    """

    def __init__(self, embedder, *, search: Search = "auto"):
        missing = [n for n in ("embed", "fingerprint", "threshold", "distance") if not hasattr(embedder, n)]
        if missing:
            raise KerasvisionError(
                "`embedder` must be a run of an embedder or an exported one that was opened. Received: "
                f"{type(embedder).__name__}, which has no {listed(missing)}."
            )
        check_distance(embedder.distance)
        check_search(search)
        self.embedder, self.search = embedder, search
        self._records = Records()
        self._revision: str | None = None  # of the file that this was read from, or written to last
        self._changing = threading.RLock()
        self._found: tuple[Records, NearestPeople] | None = None

    @classmethod
    def build(
        cls,
        embedder,
        folder: str | os.PathLike,
        *,
        on_bad_file: Literal["raise", "skip"] = "raise",
        search: Search = "auto",
    ) -> "Gallery":
        """Enrol everybody who has a folder with photos: `folder/person/photo.jpg`.

        Of folders `train`, `val` and `test` with people inside, as `identity_folder` reads them, everybody
        is enrolled. Photos in folders below that of a person are of this person. Nothing in the folder is
        changed.

        Args:
            embedder: as for `Gallery`.
            folder: the folder.
            on_bad_file: `"raise"`, or `"skip"`: photos that cannot be read, lie beside the folders, or lie in
                the folders of two people are reported and left out, as are people without a photo.
            search: as for `Gallery`.

        Raises:
            DataError: no photos; or as `"skip"` says.
            BadImageError: a photo cannot be read, or is in the folders of two people.
        """
        check_mode(on_bad_file)
        gallery = cls(embedder, search=search)
        names, paths, photos, stray = photos_of_people(folder, on_bad_file)
        names = [checked_name(name) for name in names]
        enrolled = gallery._add(embed_photos(embedder, names, paths, photos, on_bad_file), on_bad_file, stray)
        say(f"{gallery!r}: {enrolled}.")
        return gallery

    def enrol(self, name: str, images, *, on_bad_file: Literal["raise", "skip"] = "raise") -> Enrolled:
        """Add photos of a person, who may be new or not.

        A photo that is enrolled of the same person already is not added again.

        Args:
            name: of the person.
            images: a path, a folder, a pattern such as `"new/*.jpg"`, a PIL image, encoded bytes, a uint8
                array (h, w, 3) or (n, h, w, 3), or a sequence of these.
            on_bad_file: `"raise"`, or `"skip"`: photos that cannot be read, or that are enrolled of another
                person, are reported and left out.

        Returns:
            What was added and what was not.

        Raises:
            DataError: no images were found, or of a type that cannot be read.
            BadImageError: a photo cannot be read, or is enrolled of another person.
        """
        check_mode(on_bad_file)
        name = checked_name(name)
        sources, photos = gather(images)
        found = embed_photos(self.embedder, [name] * len(sources), sources, photos, on_bad_file)
        return self._add(found, on_bad_file)

    def enrol_vectors(self, names: Sequence[str], vectors, photos: Sequence[str] | None = None) -> Enrolled:
        """Add embeddings that the same embedder has made before.

        Args:
            names: n names of people, one an embedding.
            vectors: (n, d) float.
            photos: n names of the photos; by default "vector #1", ….

        Raises:
            KerasvisionError: shapes or values that do not fit.
        """
        names = [checked_name(name) for name in names]
        vectors = checked_vectors("vectors", vectors, len(names))
        photos = [f"vector #{i + 1}" for i in range(len(names))] if photos is None else list(photos)
        if len(photos) != len(names):
            raise KerasvisionError(
                f"`photos` must be {len(names)} names, one an embedding. Received: {len(photos)}."
            )
        return self._add(Photos(names, photos, [digest(vector) for vector in vectors], vectors), "raise")

    def remove(self, name: str) -> int:
        """Forget a person; returns how many photos that were.

        A file that was saved holds them until `save` is called again.

        Raises:
            KerasvisionError: nobody of this name is enrolled.
        """
        with self._changing:
            name = self._known(name)
            count = self._records.counts[name]
            self._records = self._records.without(name)
        return count

    def identify(self, image, *, k: int = 3, threshold: float | None = None) -> Identified:
        """Say who is on a photo, or that it is nobody who is enrolled.

        Args:
            image: one image, as for `enrol`.
            k: how many of the nearest people are told.
            threshold: the highest distance at which somebody is recognised; by default the embedder's. That
                was chosen for pairs: in a gallery of many a stranger has many chances, and where few
                identities chose it, it is a guess. For a stricter one, each of
                `run.evaluate(…).open_set.rates` has a `.threshold` and the share of strangers that it takes
                for somebody.

        Returns:
            An `Identified`: `.name` (None for nobody), `.distance` and `.candidates`.

        Raises:
            DataError: more than one image.
            BadImageError: it cannot be read.
            KerasvisionError: nobody is enrolled, or there is no threshold.
        """
        sources, _ = gather(image)
        if len(sources) > 1:
            raise DataError(
                f"`image` must be one image. Received: {len(sources)}. `identify_all` takes many."
            )
        return self.identify_all(image, k=k, threshold=threshold)[0]

    def identify_all(
        self,
        images,
        *,
        k: int = 3,
        threshold: float | None = None,
        on_bad_file: Literal["raise", "skip"] = "raise",
    ) -> list[Identified]:
        """Say of each photo who is on it.

        Args:
            images: as for `enrol`.
            k: as for `identify`.
            threshold: as for `identify`.
            on_bad_file: `"raise"`, or `"skip"`: files that cannot be read are reported and left out.

        Raises:
            BadImageError: a photo cannot be read.
            KerasvisionError: nobody is enrolled, or there is no threshold.
        """
        check_mode(on_bad_file)
        self._check_question(k, threshold)
        sources, photos = gather(images)
        if on_bad_file == "raise":
            return self.identify_vectors(embedded(self.embedder, sources), photos, k=k, threshold=threshold)
        found = embed_photos(self.embedder, photos, sources, photos, on_bad_file)
        report_skipped(found.skipped)
        return self.identify_vectors(found.vectors, found.photos, k=k, threshold=threshold)

    def identify_vectors(
        self, vectors, photos: Sequence[str] | None = None, *, k: int = 3, threshold: float | None = None
    ) -> list[Identified]:
        """Say of each embedding whose it is.

        Args:
            vectors: (n, d) float, of the same embedder.
            photos: n names; by default "vector #1", ….
            k: as for `identify`.
            threshold: as for `identify`.

        Raises:
            KerasvisionError: nobody is enrolled, there is no threshold, or shapes that do not fit.
        """
        limit = self._check_question(k, threshold)
        vectors = checked_vectors("vectors", vectors, len(vectors))
        records, nearest = self._nearest_people()
        if vectors.shape[1] != records.vectors.shape[1]:
            raise KerasvisionError(
                f"`vectors` must have {records.vectors.shape[1]} dimensions, as those enrolled have. "
                f"Received: {vectors.shape[1]}."
            )
        photos = [f"vector #{i + 1}" for i in range(len(vectors))] if photos is None else photos
        found = nearest.find(vectors, k)
        return [_identified(records, photo, one, limit) for photo, one in zip(photos, found, strict=True)]

    def save(self, file: str | os.PathLike, *, replace: bool = False) -> None:
        """Write the gallery into one file, which is there as a whole or not at all.

        Photos are not in it, but embeddings of faces are personal data, too.

        Args:
            file: where to, such as `"employees.gallery"`; its folder must exist.
            replace: write over a gallery that is there, whoever wrote it, but over no other file.

        Raises:
            KerasvisionError: there is no such folder; a file is there that is no gallery, or a gallery that
                this one was not read from or was changed by another process since then.
        """
        path = Path(file).expanduser()
        if not path.parent.exists():
            raise KerasvisionError(
                f"`file` {path} is to lie in the folder {path.parent}, which is not there. Make it first. "
                f"The working folder is {Path.cwd()}."
            )
        with self._changing, locked(path):
            if path.exists():
                self._check_own(path, replace)
            revision = uuid.uuid4().hex
            facts = {
                "fingerprint": self.embedder.fingerprint,
                "distance": self.embedder.distance,
                "threshold": self.embedder.threshold,
                "revision": revision,
            }
            write_gallery(path, self._records, facts)
            self._revision = revision

    @classmethod
    def load(cls, file: str | os.PathLike, embedder, *, search: Search = "auto") -> "Gallery":
        """Open a file that `save` has written.

        Args:
            file: the file.
            embedder: the one that the gallery was made with. Its threshold counts, not that of then.
            search: as for `Gallery`.

        Raises:
            KerasvisionError: no gallery, a damaged one, or one of another embedder, whose vectors cannot be
                compared with this one's.
        """
        gallery, path = cls(embedder, search=search), Path(file).expanduser()
        records, facts = read_gallery(path)
        if facts["fingerprint"] != embedder.fingerprint:
            raise KerasvisionError(
                f"{path} was made with another embedder (fingerprint {facts['fingerprint']}; this one is "
                f"{embedder.fingerprint}). Vectors of two embedders cannot be compared: open that one, or "
                f"build the gallery again from the photos."
            )
        gallery._records, gallery._revision = records, facts["revision"]
        return gallery

    @property
    def people(self) -> dict[str, int]:
        """How many photos are enrolled of each person."""
        return self._records.counts

    def photos(self, name: str) -> tuple[str, ...]:
        """Return the names of a person's photos.

        Raises:
            KerasvisionError: nobody of this name is enrolled.
        """
        with self._changing:
            return self._records.photos_of(self._known(name))

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, name) -> bool:
        return isinstance(name, str) and bool(name.strip()) and checked_name(name) in self._records.people

    def __repr__(self):
        return f"Gallery of {len(self._records.people):,} people with {len(self):,} photos"

    def _add(self, new: Photos, on_bad_file: str, stray: Sequence[BadImageError] = ()) -> Enrolled:
        with self._changing:
            records = self._records
            if len(records) and new.vectors.shape[1] != records.vectors.shape[1]:
                raise KerasvisionError(
                    f"Embeddings must have {records.vectors.shape[1]} dimensions, as those enrolled have. "
                    f"Received: {new.vectors.shape[1]}."
                )
            kept, repeated, taken = _sorted_out(new, records)
            if taken and on_bad_file == "raise":
                raise taken[0]
            chosen = ([values[i] for i in kept] for values in (new.names, new.photos, new.digests))
            self._records = records.with_photos(*chosen, new.vectors[kept])  # which copies them
        skipped = (*stray, *new.skipped, *taken)
        report_skipped(skipped)
        return Enrolled(len(kept), tuple(repeated), skipped)

    def _known(self, name: str) -> str:
        wanted = checked_name(name)
        if wanted not in self._records.people:
            raise KerasvisionError(unknown_name("person", name, self._records.people[:20]))
        return wanted

    def _check_question(self, k: int, threshold: float | None) -> float:
        limit = self.embedder.threshold if threshold is None else threshold
        if k < 1:
            raise KerasvisionError(f"`k` must be at least 1. Received: {k}.")
        if limit is None or not np.isfinite(limit):
            raise KerasvisionError(
                "`threshold` must be a distance up to which somebody is recognised. "
                f"Received: {threshold}, and the embedder has {self.embedder.threshold}."
            )
        if not len(self):
            raise KerasvisionError("Nobody is enrolled. Call `enrol` or `Gallery.build` first.")
        return float(limit)

    def _nearest_people(self) -> tuple[Records, NearestPeople]:
        """Return what is enrolled now, and what searches it; kept until it changes."""
        with self._changing:
            records = self._records
            if self._found is None or self._found[0] is not records:
                made = make_search(records.vectors, records.owners, self.embedder.distance, self.search)
                self._found = records, made
            return self._found

    def _check_own(self, path: Path, replace: bool) -> None:
        """Refuse to write over what is no gallery, or a gallery with what this one does not know of."""
        if replace:
            check_is_gallery(path)  # a damaged one, too, may be written over
            return
        records, facts = read_gallery(path)
        if facts["revision"] != self._revision:
            what = "holds a gallery that this one was not read from"
            if self._revision is not None:
                what = "was written by another process since this gallery was read from it or saved"
            raise KerasvisionError(
                f"{path} {what}: {len(records.people)} people with {len(records)} photos. Load it and make "
                f"your changes there, choose another name, or write over it by replace=True."
            )


def _sorted_out(new: Photos, records: Records) -> tuple[list[int], list[str], list[BadImageError]]:
    """Return which photos are new, names of those enrolled already, and errors of those of somebody else."""
    holders, kept, repeated, taken = records.holders(), [], [], []
    for i, (name, photo, content) in enumerate(zip(new.names, new.photos, new.digests, strict=True)):
        if content not in holders:
            holders[content] = name, photo
            kept.append(i)
        elif holders[content][0] == name:
            repeated.append(photo)
        else:
            person, other = holders[content]
            reason = f"is given as a photo of {name}, but is one of {person} ({other}). Remove one of the two"
            taken.append(BadImageError(photo, reason))
    return kept, repeated, taken


def _identified(records: Records, photo: str, found: Found, limit: float) -> Identified:
    candidates = tuple(
        Candidate(records.people[owner], float(distance), records.photos[row])
        for owner, row, distance in zip(found.owners, found.rows, found.distances, strict=True)
    )
    nearest = candidates[0]
    return Identified(
        image=photo,
        name=nearest.name if nearest.distance <= limit else None,
        distance=nearest.distance,
        threshold=limit,
        candidates=candidates,
    )
