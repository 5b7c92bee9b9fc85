"""Search in a large gallery: `Gallery.identify_vectors` against scikit-learn's brute force, and faiss.

A million vectors of 128 numbers, three for each person, of length 1; the distance is Euclidean. Questions
come one by one and 256 at a time. Each arm runs in a process of its own, in turn. "memory" is that of the
process once everything is enrolled and the first question answered, the vectors as they were given (512 MB)
included; "peak" is the highest on the way there. scikit-learn gives the nearest photos, a gallery the nearest
people with the names of their photos; the nearest one must be the same. The arm of faiss runs where it is
installed. Figures are medians.

Run: python benchmarks/gallery_search.py [--photos 1000000] [--dimensions 128] [--rounds 3]
"""

import argparse
import importlib.util
import json
import time

import numpy as np
from common import Usage, alternate, median, print_table, resident, run_arm

OURS, SKLEARN, FAISS = "Gallery", "NearestNeighbors", "Gallery with faiss"
ALONE, MANY, NEAREST = 10, 256, 3


class Embedder:
    """What a gallery asks of an embedder, without one."""

    fingerprint, threshold, distance = "made up", 0.5, "euclidean"

    def embed(self, images):
        """Refuse: all embeddings are given."""
        raise RuntimeError("nothing is embedded here")


def made_up(photos: int, dimensions: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (photos, dimensions) float32 vectors and (256, dimensions) questions, near some of them."""
    random = np.random.default_rng(0)
    vectors = random.standard_normal((photos, dimensions), np.float32)
    questions = vectors[random.integers(0, photos, MANY)]
    questions += 0.5 * random.standard_normal(questions.shape, np.float32)
    for part in (vectors, questions):
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return vectors, questions


def timed(find, questions: np.ndarray) -> dict:
    """Return questions a second, one by one and all together, and the nearest photo of each."""
    find(questions[:1])
    start = time.perf_counter()
    for i in range(ALONE):
        find(questions[i : i + 1])
    alone = ALONE / (time.perf_counter() - start)
    start = time.perf_counter()
    nearest = find(questions)
    many = len(questions) / (time.perf_counter() - start)
    return {"one": alone, "many": many, "nearest": nearest}


def gallery_arm(photos: int, dimensions: int, search: str) -> dict:
    from kerasvision.embedding import Gallery

    vectors, questions = made_up(photos, dimensions)
    with Usage() as usage:
        gallery = Gallery(Embedder(), search=search)
        gallery.enrol_vectors(
            [f"person {i // 3}" for i in range(photos)], vectors, [str(i) for i in range(photos)]
        )
        gallery.identify_vectors(questions[:1])

    def find(questions):
        return [int(one.candidates[0].photo) for one in gallery.identify_vectors(questions, k=NEAREST)]

    return {**timed(find, questions), "built": usage.wall, "memory": resident("VmRSS"), "peak": usage.peak}


def sklearn_arm(photos: int, dimensions: int) -> dict:
    from sklearn.neighbors import NearestNeighbors

    vectors, questions = made_up(photos, dimensions)
    with Usage() as usage:
        index = NearestNeighbors(n_neighbors=NEAREST, algorithm="brute").fit(vectors)
        index.kneighbors(questions[:1])

    def find(questions):
        return index.kneighbors(questions, return_distance=True)[1][:, 0].tolist()

    return {**timed(find, questions), "built": usage.wall, "memory": resident("VmRSS"), "peak": usage.peak}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name, default in (("photos", 1_000_000), ("dimensions", 128), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--arm", choices=(OURS, SKLEARN, FAISS), help=argparse.SUPPRESS)
    given = parser.parse_args()
    size = {"photos": given.photos, "dimensions": given.dimensions}
    if given.arm:
        arms = {
            OURS: lambda: gallery_arm(**size, search="numpy"),
            FAISS: lambda: gallery_arm(**size, search="faiss"),
            SKLEARN: lambda: sklearn_arm(**size),
        }
        print(json.dumps(arms[given.arm]()))
        return
    arms = [SKLEARN, OURS] + [FAISS] * (importlib.util.find_spec("faiss") is not None)
    found = alternate(arms, lambda arm: run_arm(__file__, arm, **size), given.rounds)
    print(f"{given.photos:,} vectors of {given.dimensions} numbers, the nearest {NEAREST}")
    print_table(
        ("", "one by one", "256 at a time", "built in", "memory", "peak", "the same nearest"),
        [row(arm, found) for arm in arms],
    )


def row(arm: str, found: dict) -> tuple:
    """Return what is printed of an arm."""
    same = np.mean(np.equal(found[arm][0]["nearest"], found[SKLEARN][0]["nearest"]))
    return (
        arm,
        f"{median(found[arm], 'one'):.1f} questions/s",
        f"{median(found[arm], 'many'):.0f} questions/s",
        f"{median(found[arm], 'built'):.1f} s",
        f"{median(found[arm], 'memory'):.0f} MB",
        f"{median(found[arm], 'peak'):.0f} MB",
        f"{same:.1%}",
    )


if __name__ == "__main__":
    main()
