"""Why a request is refused, or cannot be answered just now."""

from __future__ import annotations

from genjobs.domain.errors.base import GenjobsError


class InvalidInput(GenjobsError):
    """The request cannot be accepted."""

    code = "invalid_input"


class InvalidRequest(InvalidInput):
    """A member of the request is missing, unknown, of the wrong type or out of range."""

    code = "invalid_request"


class InvalidCursor(InvalidInput):
    """The cursor was not made by this listing; start again without one."""

    code = "invalid_cursor"


class IdempotencyMismatch(InvalidInput):
    """This Idempotency-Key was used before with a different request."""

    code = "idempotency_mismatch"


class InvalidWorkflow(InvalidInput):
    """The workflow is not a ComfyUI graph in API format."""

    code = "workflow_invalid"


class UiFormatWorkflow(InvalidWorkflow):
    """The workflow is in the editor's format; export it with "Save (API format)"."""

    code = "workflow_ui_format"


class CyclicWorkflow(InvalidWorkflow):
    """The nodes of the workflow depend on each other in a circle."""

    code = "workflow_cycle"


class DanglingLink(InvalidWorkflow):
    """A node input is linked to a node that is not in the workflow."""

    code = "workflow_dangling_link"


class NoOutputNode(InvalidWorkflow):
    """The workflow has no output node, so it would deliver nothing."""

    code = "workflow_no_output"


class WorkflowTooLarge(InvalidWorkflow):
    """The workflow is larger than allowed."""

    code = "workflow_too_large"


class NodeNotAllowed(InvalidWorkflow):
    """A node of the workflow is of a class that is not allowed here."""

    code = "workflow_node_not_allowed"


class InputNotAllowed(InvalidWorkflow):
    """A node input holds what it may not hold: an address, a path, a value of the wrong kind."""

    code = "workflow_input_not_allowed"


class WorkflowLimit(InvalidWorkflow):
    """The workflow asks for more than is allowed: size, frames, steps, depth."""

    code = "workflow_limit"


class InvalidMedia(InvalidInput):
    """A media entry cannot be accepted."""

    code = "media_invalid"


class TooManyMedia(InvalidMedia):
    """The request has more media entries than allowed."""

    code = "media_too_many"


class MediaTooLarge(InvalidMedia):
    """The media of the request are larger than allowed inline."""

    code = "media_too_large"


class MediaNotBase64(InvalidMedia):
    """The data of a media entry is not valid base64."""

    code = "media_not_base64"


class MediaTypeRefused(InvalidMedia):
    """The content of a media entry is not of a type that its use allows."""

    code = "media_type_refused"


class MediaContentRefused(InvalidMedia):
    """The content of a media entry is broken, not what it says, or over a limit."""

    code = "media_content_refused"


class UnknownMedia(InvalidMedia):
    """A node input names a file that is not a media entry of this request."""

    code = "media_unknown"


class UrlNotAllowed(InvalidMedia):
    """The URL may not be fetched."""

    code = "url_not_allowed"


class UnknownUpload(InvalidMedia):
    """There is no such upload, or it is not this user's, or it is not kept any more."""

    code = "upload_unknown"


class UploadIncomplete(InvalidMedia):
    """Nothing has been uploaded under this id yet."""

    code = "upload_incomplete"


class UploadMismatch(InvalidMedia):
    """What was uploaded has not the length and type that the upload was declared with."""

    code = "upload_mismatch"


class UploadExists(InvalidMedia):
    """A file was uploaded here before; it is never replaced."""

    code = "upload_exists"


class PlanLimit(InvalidInput):
    """The request asks for more than the plan allows: priority, run time, retention."""

    code = "plan_limit"


class UnknownPlan(InvalidInput):
    """There is no plan of this name."""

    code = "unknown_plan"


class UserBeingErased(GenjobsError):
    """All that is this user's is being erased; try again once that is done."""

    code = "user_being_erased"
    retryable = True


class LimitReached(GenjobsError):
    """A limit of the tenant or of the user is reached; try again later."""

    code = "limit_reached"
    retryable = True

    def __init__(self, message: str | None = None, *, retry_after: float = 1.0) -> None:
        super().__init__(message)
        #: Seconds after which the same request may be accepted.
        self.retry_after = retry_after


class RateLimited(LimitReached):
    """Too many requests in too short a time."""

    code = "rate_limited"


class QuotaExceeded(LimitReached):
    """What may be used in a day is used up."""

    code = "quota_exceeded"


class QueueFull(LimitReached):
    """As many jobs are waiting as may."""

    code = "queue_full"


class UploadsFull(LimitReached):
    """As many uploads are unused as may."""

    code = "uploads_full"


class AccessError(GenjobsError):
    """The caller may not do this."""

    code = "access_denied"


class Unauthenticated(AccessError):
    """A valid bearer key is required."""

    code = "unauthenticated"


class ScopeMissing(AccessError):
    """The key lacks the scope that this request needs."""

    code = "scope_missing"


class NotFound(GenjobsError):
    """There is no such thing, or it is not yours."""

    code = "not_found"


class Unavailable(GenjobsError):
    """A part of the service cannot be reached just now; try again."""

    code = "unavailable"
    retryable = True
