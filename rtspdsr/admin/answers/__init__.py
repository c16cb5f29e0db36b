"""What the API answers: plain dicts, whose types here make the OpenAPI document.

mypy holds them where they are filled. Times are in seconds, sizes in bytes.
"""

from rtspdsr.admin.answers.access import (
    ErrorAnswer,
    LoggedIn,
)
from rtspdsr.admin.answers.backend import (
    BackendAnswer,
    BackendDetail,
    CheckAnswer,
    ClientCount,
    DrainAnswer,
    HistoryAnswer,
    SessionLeft,
    UrlCount,
)
from rtspdsr.admin.answers.placement import (
    ExplanationAnswer,
    Placed,
    StepAnswer,
)
from rtspdsr.admin.answers.service import (
    ServiceAnswer,
    ServiceBackend,
    StatusAnswer,
)
from rtspdsr.admin.answers.session import (
    EntryAnswer,
    PointAnswer,
    SessionAnswer,
    StoryAnswer,
    TrackAnswer,
)
from rtspdsr.admin.answers.top import (
    DeliveryAnswer,
    DeliverySums,
    FailureAnswer,
    TopAnswer,
    UrlAnswer,
)
from rtspdsr.admin.answers.watch import (
    BackendTotals,
    LivenessAnswer,
    ReadinessAnswer,
    ServiceReadiness,
    ServiceTotals,
    TotalsAnswer,
)

__all__ = [
    "BackendAnswer",
    "BackendDetail",
    "BackendTotals",
    "CheckAnswer",
    "ClientCount",
    "DeliveryAnswer",
    "DeliverySums",
    "DrainAnswer",
    "EntryAnswer",
    "ErrorAnswer",
    "ExplanationAnswer",
    "FailureAnswer",
    "HistoryAnswer",
    "LivenessAnswer",
    "LoggedIn",
    "Placed",
    "PointAnswer",
    "ReadinessAnswer",
    "ServiceAnswer",
    "ServiceBackend",
    "ServiceReadiness",
    "ServiceTotals",
    "SessionAnswer",
    "SessionLeft",
    "StatusAnswer",
    "StepAnswer",
    "StoryAnswer",
    "TopAnswer",
    "TotalsAnswer",
    "TrackAnswer",
    "UrlAnswer",
    "UrlCount",
]
