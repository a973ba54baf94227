import pytest

from irdim.wording import number_of


@pytest.mark.parametrize(
    ("n", "words", "text"),
    [
        (0, ("frame",), "0 frames"),
        (1, ("frame",), "1 frame"),
        (2, ("frame",), "2 frames"),
        (1, ("tally", "tallies"), "1 tally"),
        (3, ("tally", "tallies"), "3 tallies"),
    ],
)
def test_a_number_agrees_with_its_noun(n, words, text):
    assert number_of(n, *words) == text
