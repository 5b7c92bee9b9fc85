"""What a gallery says: who is on a photo, and what came of enrolling somebody."""

from dataclasses import dataclass

from kerasvision.errors import BadImageError


@dataclass(frozen=True)
class Candidate:
    """Somebody who may be on a photo.

    Attributes:
        name: who.
        distance: to the nearest of the photos that are enrolled of this person.
        photo: name of that photo.
    """

    name: str
    distance: float
    photo: str


@dataclass(frozen=True)
class Identified:
    """Who is on a photo.

    Attributes:
        image: its name.
        name: the nearest person, where the distance is at most the threshold; None for nobody of the gallery.
        distance: to the nearest person, known or not.
        threshold: the highest distance at which somebody is recognised; a lower one, `threshold=` of
            `Gallery.identify`, is stricter.
        candidates: the nearest people, the nearest first, those beyond the threshold too.
    """

    image: str
    name: str | None
    distance: float
    threshold: float
    candidates: tuple[Candidate, ...]

    def __str__(self):
        nearest = ", ".join(f"{one.name} {one.distance:.3f}" for one in self.candidates)
        return f"{self.image}: {self.name or 'nobody'} (threshold {self.threshold:.3f}; {nearest})"


@dataclass(frozen=True)
class Enrolled:
    """What came of enrolling photos.

    Attributes:
        added: how many photos are in the gallery that were not before.
        repeated: names of those that were enrolled already, and of those that were given twice.
        skipped: those that were left out, with the reason.
    """

    added: int
    repeated: tuple[str, ...] = ()
    skipped: tuple[BadImageError, ...] = ()

    def __str__(self):
        left_out = ((self.repeated, "enrolled already"), (self.skipped, "skipped"))
        return ", ".join([f"{self.added} added", *(f"{len(of)} {what}" for of, what in left_out if of)])
