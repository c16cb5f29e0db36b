"""What all answers are: plain dicts, whose types make the OpenAPI document."""

from typing import TypeVar

from pydantic import ConfigDict, with_config

T = TypeVar("T")


def answer(described: type[T]) -> type[T]:
    """An answer: no key but those described, each by the text below it."""
    return with_config(ConfigDict(extra="forbid", use_attribute_docstrings=True))(described)
