"""What tokens cost, by a table that the operator supplies. Arithmetic with Decimal; no price is
known here.

A table is a TOML or JSON file. `models` are named by alias or by model id; what a job really ran
on, its model id, counts first:

```toml
currency = "USD"

[models.haiku]              # or [models."us.anthropic.claude-haiku-4-5-20251001-v1:0"]
input_per_1000 = 0.0005     # of batch inference, for 1,000 tokens
output_per_1000 = 0.0025
```
"""

import codecs
import json
import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from bbq.cli.faults import Fault

PER = 1000  # tokens
# of an estimate: a common rule for English text; the file's JSON and metadata count as text too
BYTES_PER_TOKEN = 4
MAX_TABLE_BYTES = 1024**2
VARIABLE = "BBQ_PRICES"
MONEY_PLACES = Decimal("0.0001")


@dataclass(frozen=True, kw_only=True)
class Price:
    """For 1,000 tokens, in the table's currency."""

    input_per_1000: Decimal
    output_per_1000: Decimal


@dataclass(frozen=True, kw_only=True)
class Prices:
    """A price table. Without any model it says nothing."""

    currency: str = ""
    models: Mapping[str, Price] | None = None

    def of(self, alias: str, model_id: str | None) -> Price | None:
        """The price of what ran: by model id, else by alias; None where the table has neither."""
        known = self.models or {}
        return known.get(model_id or "") or known.get(alias)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Before a job runs: input by BYTES_PER_TOKEN, output as what the records allow at most. None
    where nobody can say.
    """

    input_tokens: int
    output_tokens_at_most: int | None
    input_cost: Decimal | None = None
    cost_at_most: Decimal | None = None


def cost(price: Price, input_tokens: int, output_tokens: int) -> Decimal:
    """Exactly; nothing is rounded."""
    return (price.input_per_1000 * input_tokens + price.output_per_1000 * output_tokens) / PER


def estimate(size_bytes: int, output_tokens_at_most: int | None, price: Price | None) -> Estimate:
    """A guess at what a file of so many bytes comes to. An image in a record makes it far too
    high.
    """
    tokens = -(-size_bytes // BYTES_PER_TOKEN)
    if price is None:
        return Estimate(input_tokens=tokens, output_tokens_at_most=output_tokens_at_most)
    most = cost(price, tokens, output_tokens_at_most) if output_tokens_at_most is not None else None
    return Estimate(
        input_tokens=tokens,
        output_tokens_at_most=output_tokens_at_most,
        input_cost=cost(price, tokens, 0),
        cost_at_most=most,
    )


def most_output_tokens(records: Iterable[bytes]) -> int | None:
    """The sum of what each record allows as output; None where one does not say. Lines of a file
    that was inspected.
    """
    total = 0
    for line in records:
        if line.strip():
            try:
                most = _allowed(json.loads(line.removeprefix(codecs.BOM_UTF8)).get("modelInput"))
            except (ValueError, RecursionError):
                # a number or a nesting that Python does not read, though it is JSON
                most = None
            if most is None:
                return None
            total += most
    return total


def in_money(amount: Decimal, currency: str) -> str:
    """For people: rounded to a hundredth of a cent."""
    return f"{amount.quantize(MONEY_PLACES):,} {currency}"


def prices_from(path: Path | None) -> Prices:
    """The table of an option, else of BBQ_PRICES, else an empty one. Raises Fault."""
    named = path or os.environ.get(VARIABLE)
    return read_prices(Path(named)) if named else Prices()


def read_prices(path: Path) -> Prices:
    """The table in a file. Raises Fault."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_TABLE_BYTES + 1)
    except OSError as error:
        raise Fault(f"{path} cannot be read: {error.strerror}") from None
    if len(text) > MAX_TABLE_BYTES:
        raise Fault(f"{path} is larger than a price table ever is")
    try:
        said: Any = (
            json.loads(text, parse_float=Decimal)
            if path.suffix == ".json"
            else tomllib.loads(text.decode(), parse_float=Decimal)
        )
    except (ValueError, RecursionError) as error:
        raise Fault(f"{path} is neither TOML nor (as .json) JSON: {error}") from None
    return parse_prices(said, str(path))


def parse_prices(said: Any, name: str) -> Prices:
    """The table in a document. Raises Fault with every problem in one message."""
    if not isinstance(said, dict) or not isinstance(said.get("models"), dict) or not said["models"]:
        raise Fault(f"{name} has no table `models`: docs/commands.md shows one")
    problems = []
    if not isinstance(said.get("currency"), str) or not said["currency"]:
        problems.append('currency is missing, such as "USD"')
    models: dict[str, Price] = {}
    for model, numbers in said["models"].items():
        read = {word: _number(numbers, word) for word in ("input_per_1000", "output_per_1000")}
        problems += [
            f"{model}: {word} must be a number of at least 0"
            for word, number in read.items()
            if number is None
        ]
        models[model] = Price(**{word: number or Decimal(0) for word, number in read.items()})
    if problems:
        raise Fault(f"{name}: {'; '.join(problems)}")
    return Prices(currency=said["currency"], models=models)


def _number(numbers: Any, word: str) -> Decimal | None:
    value = numbers.get(word) if isinstance(numbers, dict) else None
    if isinstance(value, bool) or not isinstance(value, (int, str, Decimal)):
        return None
    try:
        number = Decimal(value)
    except ArithmeticError:
        return None
    return number if number.is_finite() and number >= 0 else None


def _allowed(body: Any) -> int | None:
    """Where the models' bodies say it: Anthropic's Messages, then Converse and Nova."""
    if not isinstance(body, dict):
        return None
    config = body.get("inferenceConfig")
    places = [body.get("max_tokens")]
    if isinstance(config, dict):
        places += [config.get("maxTokens"), config.get("max_new_tokens")]
    said = [
        value
        for value in places
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0
    ]
    return said[0] if said else None
