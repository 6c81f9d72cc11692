"""
The one error tree of genjobs: what can go wrong, each leaf with a stable ``code``.

The docstring's first line is the default public message, so no message here names a path, an
address, a traceback or another tenant's data. How a class becomes an HTTP status is the API's
business and is not here.

::

    GenjobsError
    ├── InvalidInput                    the caller's request cannot be accepted
    │   ├── InvalidRequest              invalid_request
    │   ├── InvalidCursor               invalid_cursor
    │   ├── IdempotencyMismatch         idempotency_mismatch
    │   ├── InvalidWorkflow             workflow_invalid
    │   │   ├── UiFormatWorkflow        workflow_ui_format
    │   │   ├── CyclicWorkflow          workflow_cycle
    │   │   ├── DanglingLink            workflow_dangling_link
    │   │   ├── NoOutputNode            workflow_no_output
    │   │   └── WorkflowTooLarge        workflow_too_large
    │   └── InvalidMedia                media_invalid
    │       ├── TooManyMedia            media_too_many
    │       ├── MediaTooLarge           media_too_large
    │       ├── MediaNotBase64          media_not_base64
    │       ├── MediaTypeRefused        media_type_refused
    │       ├── UnknownMedia            media_unknown
    │       ├── MediaUrlUnsupported     media_url_unsupported
    │       └── MediaUploadUnsupported  media_upload_unsupported
    ├── AccessError
    │   ├── Unauthenticated             unauthenticated
    │   └── ScopeMissing                scope_missing
    ├── NotFound                        not_found
    ├── Unavailable                     unavailable
    ├── JobFailure                      why a job failed: becomes ``error`` of the job
    │   ├── InputRefused                input_refused
    │   ├── InputUnavailable            input_unavailable
    │   ├── QueueTimeout                queue_timeout
    │   ├── RunTimeout                  run_timeout
    │   ├── WorkerLost                  worker_lost
    │   ├── WorkflowRefused             workflow_refused
    │   ├── NodeError                   node_error
    │   ├── OutOfMemory                 out_of_memory
    │   ├── NoOutput                    no_output
    │   ├── EngineFailed                engine_failed
    │   └── OutputNotStored             output_not_stored
    ├── AttemptError                    what a worker is told about its attempt
    │   └── StaleAttempt                stale_attempt
    ├── RenderInterrupted               render_interrupted
    ├── IllegalTransition               illegal_transition
    └── ConfigurationError              configuration
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar


class GenjobsError(Exception):
    """Something went wrong in genjobs."""

    #: Stable identifier; never renamed once released.
    code: ClassVar[str] = "error"
    #: Whether the same request or job may succeed when tried again unchanged.
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str | None = None,
        *,
        pointer: str | None = None,
        node_id: str | None = None,
        node_class: str | None = None,
    ) -> None:
        self.message = message or default_message(type(self))
        #: JSON pointer (RFC 6901) into the request body, when one member is at fault.
        self.pointer = pointer
        self.node_id = node_id
        self.node_class = node_class
        super().__init__(self.message)


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


class UnknownMedia(InvalidMedia):
    """A node input names a file that is not a media entry of this request."""

    code = "media_unknown"


class MediaUrlUnsupported(InvalidMedia):
    """Media by URL are not supported by this deployment; send them inline as data."""

    code = "media_url_unsupported"


class MediaUploadUnsupported(InvalidMedia):
    """Media by upload are not supported by this deployment; send them inline as data."""

    code = "media_upload_unsupported"


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


class JobFailure(GenjobsError):
    """The job failed."""

    code = "job_failed"


class InputRefused(JobFailure):
    """An input of the job was refused."""

    code = "input_refused"


class InputUnavailable(JobFailure):
    """An input of the job could not be obtained."""

    code = "input_unavailable"
    retryable = True


class QueueTimeout(JobFailure):
    """The job waited in the queue longer than its queue time-out."""

    code = "queue_timeout"
    retryable = True


class RunTimeout(JobFailure):
    """The job ran longer than its run time-out."""

    code = "run_timeout"


class WorkerLost(JobFailure):
    """The worker was lost and no attempt is left."""

    code = "worker_lost"
    retryable = True


class WorkflowRefused(JobFailure):
    """ComfyUI refused the workflow."""

    code = "workflow_refused"


class NodeError(JobFailure):
    """A node of the workflow failed."""

    code = "node_error"


class OutOfMemory(JobFailure):
    """The workflow needs more memory than the worker has."""

    code = "out_of_memory"


class NoOutput(JobFailure):
    """The workflow finished without a deliverable output."""

    code = "no_output"


class EngineFailed(JobFailure):
    """ComfyUI stopped answering or lost the job."""

    code = "engine_failed"
    retryable = True


class OutputNotStored(JobFailure):
    """The outputs could not be stored."""

    code = "output_not_stored"
    retryable = True


class AttemptError(GenjobsError):
    """The attempt cannot go on."""

    code = "attempt"


class StaleAttempt(AttemptError):
    """The attempt is no longer the recorded one, or another execution started it."""

    code = "stale_attempt"


class RenderInterrupted(GenjobsError):
    """The render was stopped as requested."""

    code = "render_interrupted"


class IllegalTransition(GenjobsError):
    """The job cannot take this step from its present state."""

    code = "illegal_transition"


class ConfigurationError(GenjobsError):
    """The configuration is not usable."""

    code = "configuration"


def default_message(cls: type[GenjobsError]) -> str:
    """Return the class's public message: the first line of its docstring."""
    return (cls.__doc__ or GenjobsError.__name__).strip().splitlines()[0]


def leaves(root: type[GenjobsError] = GenjobsError) -> Iterator[type[GenjobsError]]:
    """Yield every class below ``root`` in the order of the drawn tree."""
    for child in root.__subclasses__():
        yield child
        yield from leaves(child)
