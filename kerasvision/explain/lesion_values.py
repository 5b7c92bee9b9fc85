"""What the experiments with lesions find, as values that go to JSON and back."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class ModuleDeleted:
    """The error without one module.

    Attributes:
        name: of the module.
        shortcut: that stays: `"identity"`, `"padded"`, `"projection"`; `"none"` in a plain network.
        downsampling: whether the module makes the maps smaller.
        error: share of wrong answers, in [0, 1].
    """

    name: str
    shortcut: str
    downsampling: bool
    error: float


@dataclass(frozen=True)
class DeleteEach:
    """What `delete_each` found.

    Attributes:
        baseline: error of the whole network, in [0, 1].
        images: number of images.
        modules: one value for each module, in order.
    """

    baseline: float
    images: int
    modules: tuple[ModuleDeleted, ...]

    def to_dict(self) -> dict:
        """Return plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> "DeleteEach":
        """Return what `to_dict` was made from."""
        return cls(**{**values, "modules": tuple(ModuleDeleted(**row) for row in values["modules"])})


@dataclass(frozen=True)
class SeveralDeleted:
    """The errors without several modules chosen at random.

    Attributes:
        count: how many are left out.
        names: which, for each repeat.
        errors: share of wrong answers of each repeat.
    """

    count: int
    names: tuple[tuple[str, ...], ...]
    errors: tuple[float, ...]


@dataclass(frozen=True)
class DeleteRandom:
    """What `delete_random` found.

    Attributes:
        baseline: error of the whole network, in [0, 1].
        images: number of images.
        counts: one value for each number of modules.
    """

    baseline: float
    images: int
    counts: tuple[SeveralDeleted, ...]

    def to_dict(self) -> dict:
        """Return plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> "DeleteRandom":
        """Return what `to_dict` was made from."""
        counts = tuple(
            SeveralDeleted(row["count"], tuple(map(tuple, row["names"])), tuple(row["errors"]))
            for row in values["counts"]
        )
        return cls(values["baseline"], values["images"], counts)


@dataclass(frozen=True)
class Permutation:
    """The error with modules in another order.

    Attributes:
        swaps: how many pairs changed places.
        kendall_tau: correlation of the order with the trained one; 1 is the same order.
        order: names of the modules as they ran.
        error: share of wrong answers.
    """

    swaps: int
    kendall_tau: float
    order: tuple[str, ...]
    error: float


@dataclass(frozen=True)
class Permuted:
    """What `permute` found.

    Attributes:
        baseline: error of the whole network, in [0, 1].
        images: number of images.
        permutations: by number of swaps.
    """

    baseline: float
    images: int
    permutations: tuple[Permutation, ...]

    def to_dict(self) -> dict:
        """Return plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> "Permuted":
        """Return what `to_dict` was made from."""
        rows = (Permutation(**{**row, "order": tuple(row["order"])}) for row in values["permutations"])
        return cls(values["baseline"], values["images"], tuple(rows))
