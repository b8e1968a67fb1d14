"""Tables as they are printed, and the arithmetic that every part uses."""

from bench.table import Table, percentile, printed, ratio_of_medians, rounded, target


def test_a_table_is_markdown_in_columns_of_even_width_with_numbers_on_the_right() -> None:
    table = Table(
        "gaps",
        ("phase", "p50 (ms)", "", "said"),
        [("quiet", rounded(5.25, 1), "", "x"), ("load", 1000, "", "a word")],
    )
    assert printed(table).splitlines() == [
        "| phase | p50 (ms) |     | said |",
        "| ----- | -------: | --: | --- |",
        "| quiet |      5.2 |     | x |",
        "| load  |     1000 |     | a word |",
    ]


def test_numbers_have_as_many_places_as_they_should_and_nothing_where_there_is_none() -> None:
    assert [rounded(1234.5678), rounded(1234.5678, 0), rounded(None)] == ["1,234.568", "1,235", ""]


def test_percentiles_lie_between_the_two_nearest_samples() -> None:
    assert [percentile([3, 1, 2, 4], percent) for percent in (0, 50, 100)] == [1, 2.5, 4]


def test_a_ratio_is_of_medians() -> None:
    assert ratio_of_medians([2, 4, 100], [1, 2, 3]) == 2


def test_a_target_is_kept_up_to_its_bound_and_never_by_what_is_no_number() -> None:
    assert target("x", 1.0, at_most=1.0)["met"]
    assert not target("x", float("nan"), at_most=1.0)["met"]
    assert not target("x", 0.8, at_least=0.9)["met"]
