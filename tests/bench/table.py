"""A table of figures, as Markdown and as HTML."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text. The first column names what the others measure.

    caption: a sentence above it; none where the section has but one table
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""

    def markdown(self) -> str:
        """For docs/benchmarks.md, and for a terminal."""
        lines = [self.head, ["---"] * len(self.head), *self.rows]
        drawn = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return f"{self.caption}\n\n{drawn}" if self.caption else drawn

    def html(self) -> str:
        """For the report."""
        caption = f"<p>{escape(self.caption)}</p>" if self.caption else ""
        head = _row("th", self.head)
        return (
            f'{caption}<div class="scroll" tabindex="0"><table><thead>{head}</thead>'
            f"<tbody>{''.join(_row('td', row) for row in self.rows)}</tbody></table></div>"
        )


def _row(kind: str, words: Iterable[str]) -> str:
    cells = (f"<{kind}{' class=n' * bool(at)}>{escape(word)}</{kind}>" for at, word in enumerate(words))
    return f"<tr>{''.join(cells)}</tr>"
