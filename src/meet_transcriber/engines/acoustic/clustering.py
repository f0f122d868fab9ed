"""Windows to voices: Ward's tree, cut where two branches are two voices."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

MAX_WINDOWS = 3000
"""More windows than this are thinned before they are clustered."""

_MIN_SEPARATION = 13.0  # squared distance beyond chance, in variances of one voice
_CHANCE = 5.0  # windows overlap and words repeat: so many count as one independent sample
_MIN_SHARE = 0.03  # of all windows that a voice needs
_MIN_WINDOWS = (6, 90)  # bounds of the same, as a count

Matrix = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Merge:
    """Two branches of the tree and how far apart they were joined."""

    left: int
    right: int
    height: float


def cluster(vectors: Matrix, fewest: int, most: int) -> Labels:
    """
    Return a voice per window, (n,) from 0.

    Between `fewest` and `most` the number of voices is found: a branch is split where both
    sides are large enough and further apart than chance explains.

    Args:
        vectors: (n, d), whitened as in `embedding`.
    """
    if len(vectors) <= 1:
        return np.zeros(len(vectors), dtype=np.int64)
    chosen = np.unique(np.linspace(0, len(vectors) - 1, MAX_WINDOWS).astype(int))
    sample = vectors[chosen] if len(vectors) > MAX_WINDOWS else vectors
    tree = ward(sample)
    voices = _cut(sample, tree, fewest, most)
    centres = np.stack([sample[voice].mean(axis=0) for voice in voices])
    distances = np.stack([np.sum(np.square(vectors - centre), axis=1) for centre in centres])
    nearest: Labels = np.argmin(distances, axis=0)
    return nearest


def ward(vectors: Matrix) -> list[Merge]:
    """
    Ward's tree by nearest-neighbour chains (Murtagh 1983), lowest merge first.

    Branches are counted as in scipy: 0 to n - 1 are the vectors, n + i the i-th merge.
    O(n^2) time, O(n) memory.
    """
    centres = vectors.copy()
    sizes = np.ones(len(vectors))
    alive = np.ones(len(vectors), dtype=bool)
    found: list[tuple[int, int, float]] = []
    chain: list[int] = []
    for _ in range(len(vectors) - 1):
        if not chain:
            chain.append(int(np.argmax(alive)))
        while True:
            tip = chain[-1]
            heights = sizes[tip] * sizes / (sizes[tip] + sizes)
            heights = heights * np.sum(np.square(centres - centres[tip]), axis=1)
            heights[~alive] = np.inf
            heights[tip] = np.inf
            nearest = int(np.argmin(heights))
            if len(chain) > 1 and heights[chain[-2]] <= heights[nearest]:
                nearest = chain[-2]
                break
            chain.append(nearest)
        del chain[-2:]
        found.append((tip, nearest, float(heights[nearest])))
        both = sizes[tip] + sizes[nearest]
        centres[nearest] = (sizes[tip] * centres[tip] + sizes[nearest] * centres[nearest]) / both
        sizes[nearest] = both
        alive[tip] = False
    return _numbered(found, len(vectors))


def _numbered(found: list[tuple[int, int, float]], count: int) -> list[Merge]:
    """Merges by height, with branches named by their number instead of a member."""
    current = list(range(count))
    merges = []
    parent = list(range(count))

    def root(member: int) -> int:
        while parent[member] != member:
            parent[member] = parent[parent[member]]
            member = parent[member]
        return member

    for one, other, height in sorted(found, key=lambda merge: merge[2]):
        left, right = root(one), root(other)
        merges.append(Merge(current[left], current[right], height))
        parent[left] = right
        current[right] = count + len(merges) - 1
    return merges


def _cut(vectors: Matrix, tree: list[Merge], fewest: int, most: int) -> list[Labels]:
    """Members of each voice, splitting the tree from its top."""
    count = len(vectors)
    members = _members(tree, count)
    voices = [count + len(tree) - 1]
    smallest = int(np.clip(_MIN_SHARE * count, *_MIN_WINDOWS))
    for top in range(count + len(tree) - 1, count - 1, -1):
        if top not in voices or len(voices) >= most:
            continue
        merge = tree[top - count]
        small, large = sorted((merge.left, merge.right), key=lambda branch: len(members[branch]))
        if len(members[small]) < smallest:
            # a few windows of overlap or laughter are no voice; look below for one
            voices[voices.index(top)] = large
        elif len(voices) < fewest or _apart(vectors[members[small]], vectors[members[large]]):
            voices[voices.index(top)] = large
            voices.append(small)
    if len(voices) < fewest:
        return _forced(members, tree, count, fewest)
    return [members[voice] for voice in voices]


def _members(tree: list[Merge], count: int) -> list[Labels]:
    members = [np.array([index]) for index in range(count)]
    for merge in tree:
        members.append(np.concatenate([members[merge.left], members[merge.right]]))
    return members


def _apart(one: Matrix, other: Matrix) -> bool:
    """Whether the centres are further from each other than chance explains."""
    distance = float(np.sum(np.square(one.mean(axis=0) - other.mean(axis=0))))
    chance = one.shape[1] * _CHANCE * (1 / len(one) + 1 / len(other))
    return bool(distance - chance >= _MIN_SEPARATION)


def _forced(members: list[Labels], tree: list[Merge], count: int, wanted: int) -> list[Labels]:
    """The plain cut of the tree into `wanted` branches, where somebody insists."""
    voices = [count + len(tree) - 1]
    for top in range(count + len(tree) - 1, count - 1, -1):
        if top in voices and len(voices) < wanted:
            voices.remove(top)
            voices.extend((tree[top - count].left, tree[top - count].right))
    return [members[voice] for voice in voices]
