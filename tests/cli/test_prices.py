"""Money, to the last digit."""

from decimal import Decimal
from pathlib import Path

import pytest

from bbq.cli.faults import Fault
from bbq.cli.prices import Price, Prices, cost, estimate, most_output_tokens, read_prices

HAIKU = Price(input_per_1000=Decimal("0.0005"), output_per_1000=Decimal("0.0025"))


def table(tmp_path: Path, text: str, name: str = "prices.toml") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("tokens_in", "tokens_out", "amount"),
    [
        (0, 0, "0"),
        (1, 0, "0.0000005"),
        (1000, 1000, "0.003"),
        (3, 7, "0.000019"),
        (10**12, 10**12, "3000000"),
    ],
)
def test_a_cost_is_exact(tokens_in: int, tokens_out: int, amount: str) -> None:
    assert cost(HAIKU, tokens_in, tokens_out) == Decimal(amount)


def test_a_tenth_of_a_cent_ten_times_is_a_cent() -> None:
    price = Price(input_per_1000=Decimal("0.1"), output_per_1000=Decimal(0))
    # binary fractions would miss it
    assert sum(cost(price, 10, 0) for _ in range(10)) == Decimal("0.01")


def test_what_ran_counts_before_its_alias() -> None:
    by_id = Price(input_per_1000=Decimal(1), output_per_1000=Decimal(1))
    prices = Prices(currency="USD", models={"haiku": HAIKU, "anthropic.haiku-v1:0": by_id})
    assert prices.of("haiku", "anthropic.haiku-v1:0") is by_id
    assert prices.of("haiku", "another") is HAIKU
    assert prices.of("haiku", None) is HAIKU
    assert prices.of("nova", "amazon.nova-lite-v1:0") is None
    assert Prices().of("haiku", None) is None


TOML = """
currency = "USD"
[models.haiku]
input_per_1000 = 0.0005
output_per_1000 = "0.0025"
["models"."amazon.nova-lite-v1:0"]
input_per_1000 = 0
output_per_1000 = 0.1
"""
JSON = """{"currency": "USD", "models": {"haiku": {"input_per_1000": 0.0005, "output_per_1000": "0.0025"},
"amazon.nova-lite-v1:0": {"input_per_1000": 0, "output_per_1000": 0.1}}}"""


@pytest.mark.parametrize(("text", "name"), [(TOML, "prices.toml"), (JSON, "prices.json")])
def test_a_table_is_read_without_binary_fractions(tmp_path: Path, text: str, name: str) -> None:
    nova = Price(input_per_1000=Decimal(0), output_per_1000=Decimal("0.1"))
    expected = Prices(currency="USD", models={"haiku": HAIKU, "amazon.nova-lite-v1:0": nova})
    assert read_prices(table(tmp_path, text, name)) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "models"),
        ("models = 3", "models"),
        ("[models]", "models"),
        ("not toml", "neither TOML"),
        ("[models.haiku]\ninput_per_1000 = 1\noutput_per_1000 = 1", "currency"),
        (
            'currency = "USD"\n[models.haiku]\ninput_per_1000 = -1\noutput_per_1000 = 1',
            "haiku: input_per_1000",
        ),
        (
            'currency = "USD"\n[models.haiku]\ninput_per_1000 = nan\noutput_per_1000 = 1',
            "haiku: input_per_1000",
        ),
        (
            'currency = "USD"\n[models.haiku]\ninput_per_1000 = true\noutput_per_1000 = "x"',
            "haiku: output_per_1000",
        ),
        ('currency = "USD"\n[models]\nhaiku = 3', "haiku: input_per_1000"),
        (
            'currency = "USD"\n[models.haiku]\ninput = 1\noutput_per_1000 = 1',
            "haiku: input_per_1000",
        ),
    ],
)
def test_a_table_that_cannot_be_used_says_all_that_is_wrong(
    tmp_path: Path, text: str, says: str
) -> None:
    with pytest.raises(Fault) as error:
        read_prices(table(tmp_path, text))
    assert says in str(error.value)


def test_a_table_that_is_not_there_or_far_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(match="cannot be read"):
        read_prices(tmp_path / "nothing.toml")
    with pytest.raises(match="larger"):
        read_prices(table(tmp_path, "#" * 2_000_000))


def test_an_estimate_rounds_tokens_up_and_knows_what_it_does_not_know() -> None:
    guess = estimate(4001, 2000, HAIKU)
    assert (guess.input_tokens, guess.input_cost, guess.cost_at_most) == (
        1001,
        Decimal("0.0005005"),
        Decimal("0.0055005"),
    )
    assert estimate(4001, None, HAIKU).cost_at_most is None
    assert estimate(4001, 2000, None).input_cost is None


@pytest.mark.parametrize(
    ("lines", "most"),
    [
        (
            [
                b'{"modelInput": {"max_tokens": 5}}\n',
                b'{"modelInput": {"inferenceConfig": {"maxTokens": 7}}}',
            ],
            12,
        ),
        ([b'{"modelInput": {"inferenceConfig": {"max_new_tokens": 3}}}\n', b"\n"], 3),
        ([b'\xef\xbb\xbf{"modelInput": {"max_tokens": 5}}\n'], 5),
        ([b'{"modelInput": {"max_tokens": 5}}\n', b'{"modelInput": {}}\n'], None),
        ([b'{"modelInput": {"max_tokens": true}}\n'], None),
        ([b'{"modelInput": {"max_tokens": "5"}}\n'], None),
        ([b'{"modelInput": {"max_tokens": ' + b"9" * 5000 + b"}}\n"], None),
    ],
)
def test_output_is_bounded_only_where_every_record_says_so(
    lines: list[bytes], most: int | None
) -> None:
    assert most_output_tokens(lines) == most
