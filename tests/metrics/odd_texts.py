"""Texts as models and people write them: words, odd Unicode, XML entities, nothing at all."""

from hypothesis import strategies as st

WORDS = (
    "the a An cat CAT sat naïve nai\u0308ve İstanbul straße 北京 καλημέρα 👩\u200d👧 don't 3.5 "
    "1,000 &amp; &quot; - \u2028 \u200b \u00a0 <skipped> . , ! ? B-2"
)


def texts() -> st.SearchStrategy[str]:
    """A few words of the list, or any characters that can be written as UTF-8."""
    words = st.lists(st.sampled_from([*WORDS.split(" "), "-\n"]), max_size=12).map(" ".join)
    return st.one_of(words, st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
