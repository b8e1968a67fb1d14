"""Where an upload is cut: examples, and on random records no part below the minimum and none above
a limit.
"""

from itertools import accumulate, pairwise

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from bbq.services.intake.plan import Amount, PartLimits, Plan, Split, Unplannable, goal, share

HAIKU = PartLimits(min_records=100, max_records=1000, max_bytes=10**6)


def planned(
    sizes: list[int], limits: PartLimits, *, bulk: bool = False, grown: int = 0
) -> list[int]:
    """How many records each part gets, of records that are so large and grow so much. With `bulk`,
    what has room is added without a look at each.
    """
    records = [Amount(1, size, size + grown, size) for size in sizes]
    left = [0, *accumulate(sizes)]
    begin, begins, held = 0, list[int](), list[Amount]()
    split: Split | None = None
    while True:
        last = split is not None
        plan = Plan(limits, left[-1] - left[begin], split)
        at, before = begin, begin
        while at < len(records):
            if bulk and at + 3 <= len(records):
                three = records[at] + records[at + 1] + records[at + 2]
                count, size = plan.room()
                if count >= 3 and three.size <= size:
                    plan.amount += three
                    at += 3
                    continue
            if plan.ends_before(records[at]):
                begins.append(before)
                held.append(plan.amount)
                before = at
                plan = Plan(limits, left[-1] - left[at], last=last)
            plan.amount += records[at]
            at += 1
        begins.append(before)
        held.append(plan.amount)
        split = share(held[-2], held[-1], limits) if len(held) > 1 and not last else None
        if split is None:
            return [amount.records for amount in held]
        begin = begins[-2]
        del begins[-2:], held[-2:]


@pytest.mark.parametrize(
    ("count", "size", "parts"),
    [
        (1, 100, [1]),
        (99, 100, [99]),
        (100, 100, [100]),
        (101, 100, [101]),
        (1000, 100, [1000]),
        # a crumb of one: the two share
        (1001, 100, [501, 500]),
        # 500 would do by the records, 750,000 bytes do not
        (1001, 1500, [501, 500]),
        (2000, 100, [1000, 1000]),
        (2530, 100, [844, 843, 843]),
        (3001, 100, [1000, 1000, 501, 500]),
        (10_000, 100, [1000] * 10),
        # by bytes: 2.5 parts
        (500, 5000, [167, 167, 166]),
        (200, 10_000, [100, 100]),
    ],
)
def test_records_of_one_size(count: int, size: int, parts: list[int]) -> None:
    assert planned([size] * count, HAIKU) == parts


@pytest.mark.parametrize(
    ("sizes", "parts"),
    [
        # the record limit ends the first before its share of the bytes
        ([500] * 1000 + [1000] * 1000, [1000, 1000]),
        # half a part of large ones says that one is enough; then the two share the bytes
        ([1000] * 600 + [100] * 600, [330, 870]),
        # large ones behind small ones: what is left seems more parts than it is
        ([10] * 1000 + [900] * 30, [925, 105]),
        # the same with a crumb: it takes records of the part before, up to the minimum
        ([10] * 1000 + [900] * 20, [920, 100]),
    ],
)
def test_records_of_two_sizes(sizes: list[int], parts: list[int]) -> None:
    assert planned(sizes, HAIKU) == parts


def test_ids_that_make_lines_longer_make_more_parts() -> None:
    assert planned([1000] * 1000, HAIKU) == [1000]
    assert planned([1000] * 1000, HAIKU, grown=25) == [500, 500]


@pytest.mark.parametrize(
    ("sizes", "limits", "text"),
    [
        ([10, 10**6 + 1], HAIKU, "is larger than 1,000,000 bytes"),
        ([20_000] * 60, HAIKU, "cannot be put into a job"),
        (
            [1] * 151,
            PartLimits(min_records=100, max_records=150, max_bytes=10**6),
            "the last 151 records cannot be divided into jobs of 100 to 150 records",
        ),
    ],
)
def test_what_cannot_be_divided_is_refused_in_words(
    sizes: list[int], limits: PartLimits, text: str
) -> None:
    with pytest.raises(Unplannable, match=text):
        planned(sizes, limits)


def test_a_goal_is_the_share_of_what_is_left() -> None:
    half = Amount(500, 50_000, 50_000, 50_000)
    assert goal(half, 100_000, HAIKU) == 100_000
    # 1,010 records: one part by the tolerance; 1,011: two
    assert goal(half, 101_000, HAIKU) == 101_000
    assert goal(half, 101_100, HAIKU) == 50_550
    # lines that are not fit count for the way, not for the parts
    assert goal(Amount(500, 50_000, 50_000, 100_000), 200_000, HAIKU) == 200_000


def test_a_last_part_that_is_small_but_no_crumb_shares_only_if_that_is_sure_to_work() -> None:
    full, small = Amount(1000, 10**5, 10**5, 10**5), Amount(120, 10**4, 10**4, 10**4)
    assert share(full, small, HAIKU) == Split(120, 1000, 55_000)
    heavy = Amount(1000, 999_999, 999_999, 999_999)
    assert share(heavy, small, HAIKU) is None
    assert share(full, full, HAIKU) is None


sizes = st.lists(
    st.tuples(st.sampled_from([1, 7, 60, 300]), st.integers(1, 120)), min_size=1, max_size=6
).map(lambda runs: [size for size, count in runs for _ in range(count)])
limits = st.tuples(st.integers(1, 30), st.integers(0, 90), st.integers(300, 6000)).map(
    lambda drawn: PartLimits(
        min_records=drawn[0], max_records=drawn[0] + drawn[1], max_bytes=drawn[2]
    )
)


@settings(max_examples=500, deadline=None)
@given(sizes, limits, st.sampled_from([0, 25]))
def test_no_part_is_below_the_minimum_and_none_above_a_limit(
    sizes: list[int], limits: PartLimits, grown: int
) -> None:
    try:
        parts = planned(sizes, limits, grown=grown)
    except Unplannable:
        assume(False)  # noqa: FBT003 - hypothesis
        return
    assert sum(parts) == len(sizes)
    assert len(parts) == 1 or min(parts) >= limits.min_records
    assert max(parts) <= limits.max_records
    ends = [0, *accumulate(parts)]
    for begin, end in pairwise(ends):
        assert sum(sizes[begin:end]) + grown * (end - begin) <= limits.max_bytes


@settings(max_examples=300, deadline=None)
@given(sizes, limits)
@example([1] * 151, PartLimits(min_records=1, max_records=100, max_bytes=6000))
def test_what_is_added_without_a_look_ends_where_it_would_have(
    sizes: list[int], limits: PartLimits
) -> None:
    def outcome(*, bulk: bool) -> list[int] | str:
        try:
            return planned(sizes, limits, bulk=bulk)
        except Unplannable as error:
            return str(error)

    assert outcome(bulk=True) == outcome(bulk=False)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 5000), st.integers(2, 400), st.integers(0, 100))
def test_equal_records_make_no_more_parts_than_they_must_and_nearly_equal_ones(
    count: int, most: int, least: int
) -> None:
    least = min(least, most // 2) or 1
    parts = planned([10] * count, PartLimits(min_records=least, max_records=most, max_bytes=10**9))
    fewest = -(-count // most)
    assert fewest <= len(parts) <= fewest + 1
    assert 2 * min(parts) >= max(parts) - 1
