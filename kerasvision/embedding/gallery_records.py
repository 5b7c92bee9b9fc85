"""The photos that are enrolled in a gallery, as a value: changing it makes a new one."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np


@dataclass(frozen=True, eq=False)
class Records:
    """Photos, those of one person side by side.

    Attributes:
        people: names, in the order in which they were enrolled.
        owners: (n,) int64, rising: whose photo each is, as an index into `people`.
        photos: n names of photos.
        digests: n texts that tell photos apart by their content.
        vectors: (n, d) float32, their embeddings.
    """

    people: tuple[str, ...] = ()
    owners: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    photos: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()
    vectors: np.ndarray = field(default_factory=lambda: np.empty((0, 0), np.float32))

    def __len__(self) -> int:
        return len(self.owners)

    @property
    def counts(self) -> dict[str, int]:
        """How many photos there are of each person."""
        return dict(
            zip(self.people, np.bincount(self.owners, minlength=len(self.people)).tolist(), strict=True)
        )

    def photos_of(self, name: str) -> tuple[str, ...]:
        """Return the names of a person's photos."""
        return tuple(self.photos[i] for i in np.flatnonzero(self.owners == self.people.index(name)))

    def holders(self) -> dict[str, tuple[str, str]]:
        """Return digest -> (person, photo)."""
        owned = zip(self.digests, self.owners.tolist(), self.photos, strict=True)
        return {digest: (self.people[owner], photo) for digest, owner, photo in owned}

    def with_photos(
        self, names: Sequence[str], photos: Sequence[str], digests: Sequence[str], vectors: np.ndarray
    ) -> "Records":
        """Return these and more photos: m names of people, of photos, m digests and (m, d) float32.

        The vectors may be kept without a copy.
        """
        people = tuple(dict.fromkeys([*self.people, *names]))
        index = {name: i for i, name in enumerate(people)}
        owners = np.concatenate([self.owners, np.array([index[name] for name in names], np.int64)])
        vectors = np.concatenate([self.vectors, vectors]) if len(self) else vectors
        grown = Records(people, owners, (*self.photos, *photos), (*self.digests, *digests), vectors)
        return grown._taking(np.argsort(owners, kind="stable"))

    def without(self, name: str) -> "Records":
        """Return all photos but those of a person."""
        gone = self.people.index(name)
        kept = self._taking(np.flatnonzero(self.owners != gone))
        people = self.people[:gone] + self.people[gone + 1 :]
        return replace(kept, people=people, owners=kept.owners - (kept.owners > gone))

    def _taking(self, rows: np.ndarray) -> "Records":
        if np.array_equal(rows, np.arange(len(self))):
            return self
        return Records(
            self.people,
            self.owners[rows],
            tuple(self.photos[i] for i in rows),
            tuple(self.digests[i] for i in rows),
            self.vectors[rows],
        )
