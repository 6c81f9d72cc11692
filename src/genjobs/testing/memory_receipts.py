"""What a cancel's receipt says, in memory."""

from __future__ import annotations

from datetime import datetime

from genjobs.domain.attempts import Stopped


def gpu_seconds(stopped: Stopped | None, requested_at: datetime) -> float:
    """Return for how long a render went on after its cancel was requested."""
    if stopped is None:
        return 0.0
    known = stopped.gpu_seconds_after_request or 0.0
    if stopped.stopped_at is None or stopped.timings.gpu_seconds is None:
        return known
    since = (stopped.stopped_at - requested_at).total_seconds()
    return max(known, min(stopped.timings.gpu_seconds, since))
