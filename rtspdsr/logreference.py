"""``docs/session-log.md`` from the list of keys and the events: ``python -m rtspdsr.logreference``.

Prints the document; ``make docs`` puts it where it belongs, and a test holds the two together.
"""

import inspect

from rtspdsr.core.events import Event, backend, connection, daemon, session
from rtspdsr.sessionlog import KEYS, LinesDropped, event_name, keys_of

#: What is told of, in the order in which an operator meets it.
MODULES = (connection, session, backend, daemon)

INTRODUCTION = """\
# The session log

One JSON object a line, ASCII only, in the file that `log.file` of the configuration names. Every line has
`time` and `event`. A key whose value is not known is `null`; a key of another event is absent.

The balancer hears only the client's half of each conversation. So a line says what the client has asked
for; whether the server agreed is not seen, and what is concluded from the client's behaviour alone has
`"inferred": true`.

This file is generated from `rtspdsr/sessionlog.py` and `rtspdsr/core/events/` by `make docs`.
"""


def event_classes() -> list[type[Event]]:
    """Every event that is a line of the log, in the order of the code."""
    known = [found for module in MODULES for found in vars(module).values() if isinstance(found, type)]
    facts = [found for found in dict.fromkeys([*known, LinesDropped]) if issubclass(found, Event)]
    bases = {base for fact in facts for base in fact.__bases__}
    return [fact for fact in facts if fact not in bases]


def document() -> str:
    """The whole document as Markdown."""
    lines = [
        INTRODUCTION,
        "## Events",
        "",
        "| event | says | keys, besides `time` and `event` |",
        "|---|---|---|",
    ]
    for event_class in event_classes():
        keys = ", ".join(f"`{key}`" for key in keys_of(event_class)[2:])
        lines.append(f"| `{event_name(event_class)}` | {_says(event_class)} | {keys} |")
    lines += ["", "## Keys", "", "| key | meaning |", "|---|---|"]
    lines += [f"| `{key}` | {meaning} |" for key, meaning in KEYS.items()]
    return "\n".join(lines) + "\n"


def _says(event_class: type[Event]) -> str:
    """The first paragraph of the docstring: what follows it explains the keys."""
    text = inspect.getdoc(event_class) or ""
    return " ".join(text.split("\n\n")[0].split()).replace("``", "`").replace("|", "\\|")


if __name__ == "__main__":
    print(document(), end="")
