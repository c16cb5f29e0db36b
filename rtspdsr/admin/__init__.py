"""The daemon's ear for its operator: a JSON API over HTTP, on a Unix socket for root and its group, and over
TCP, where that is configured, for who has the token.

To add a route: describe what is asked as a model (``asked.py``) and what is answered as a ``TypedDict``
(``answers/``), write the handler, and put one ``Route`` in the table of ``routes.py``. The application, the
check of what is asked, and the OpenAPI document all follow from that record. What a handler needs of the
daemon is a method of ``Operator``: ``balancer/desk.py``, or ``tests/admin/desk.py`` in tests.
"""

from rtspdsr.admin.client import ask
from rtspdsr.admin.operator import Operator
from rtspdsr.admin.server import Admin

__all__ = ["Admin", "Operator", "ask"]
