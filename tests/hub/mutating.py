"""Valid bytes, spoiled, for properties that hold whatever comes in."""

from collections.abc import Sequence

from hypothesis import strategies as st


def mutated(data: bytes, marks: Sequence[bytes] = ()) -> st.SearchStrategy[bytes]:
    """`data` with a few stretches replaced, taken out or put in, and perhaps cut.

    `marks` are put in more often than other bytes: those that mean something in `data`.
    """
    new = st.binary(max_size=12)
    if marks:
        new |= st.sampled_from(marks)
    change = st.tuples(st.integers(0, len(data)), st.integers(0, 20), new)

    def apply(changes: list[tuple[int, int, bytes]], end: int) -> bytes:
        result = data
        for start, length, put in changes:
            result = result[:start] + put + result[start + length :]
        return result[:end]

    ends = st.just(len(data) + 60) | st.integers(1, len(data))
    return st.builds(apply, st.lists(change, max_size=4), ends)
