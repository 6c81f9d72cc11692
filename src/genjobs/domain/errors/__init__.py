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
    │   ├── PlanLimit                   plan_limit
    │   ├── UnknownPlan                 unknown_plan
    │   ├── InvalidWorkflow             workflow_invalid
    │   │   ├── UiFormatWorkflow        workflow_ui_format
    │   │   ├── CyclicWorkflow          workflow_cycle
    │   │   ├── DanglingLink            workflow_dangling_link
    │   │   ├── NoOutputNode            workflow_no_output
    │   │   ├── WorkflowTooLarge        workflow_too_large
    │   │   ├── NodeNotAllowed          workflow_node_not_allowed
    │   │   ├── InputNotAllowed         workflow_input_not_allowed
    │   │   └── WorkflowLimit           workflow_limit
    │   └── InvalidMedia                media_invalid
    │       ├── TooManyMedia            media_too_many
    │       ├── MediaTooLarge           media_too_large
    │       ├── MediaNotBase64          media_not_base64
    │       ├── MediaTypeRefused        media_type_refused
    │       ├── MediaContentRefused     media_content_refused
    │       ├── UnknownMedia            media_unknown
    │       ├── UrlNotAllowed           url_not_allowed
    │       ├── UnknownUpload           upload_unknown
    │       ├── UploadIncomplete        upload_incomplete
    │       ├── UploadMismatch          upload_mismatch
    │       └── UploadExists            upload_exists
    ├── AccessError
    │   ├── Unauthenticated             unauthenticated
    │   └── ScopeMissing                scope_missing
    ├── UserBeingErased                 user_being_erased
    ├── LimitReached                    the request may be accepted later
    │   ├── RateLimited                 rate_limited
    │   ├── QuotaExceeded               quota_exceeded
    │   ├── QueueFull                   queue_full
    │   └── UploadsFull                 uploads_full
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
    │   ├── DeviceFailed                device_failed
    │   └── OutputNotStored             output_not_stored
    ├── AttemptError                    what a worker is told about its attempt
    │   └── StaleAttempt                stale_attempt
    ├── RenderInterrupted               render_interrupted
    ├── DownloadFailed                  download_failed
    │   └── DownloadTooLarge            download_too_large
    ├── InspectionFailed                inspection_failed
    ├── IllegalTransition               illegal_transition
    └── ConfigurationError              configuration
"""

from __future__ import annotations

from genjobs.domain.errors.base import (
    GenjobsError,
    default_message,
    leaves,
)
from genjobs.domain.errors.failures import (
    AttemptError,
    ConfigurationError,
    DeviceFailed,
    DownloadFailed,
    DownloadTooLarge,
    EngineFailed,
    IllegalTransition,
    InputRefused,
    InputUnavailable,
    InspectionFailed,
    JobFailure,
    NodeError,
    NoOutput,
    OutOfMemory,
    OutputNotStored,
    QueueTimeout,
    RenderInterrupted,
    RunTimeout,
    StaleAttempt,
    WorkerLost,
    WorkflowRefused,
)
from genjobs.domain.errors.refusals import (
    AccessError,
    CyclicWorkflow,
    DanglingLink,
    IdempotencyMismatch,
    InputNotAllowed,
    InvalidCursor,
    InvalidInput,
    InvalidMedia,
    InvalidRequest,
    InvalidWorkflow,
    LimitReached,
    MediaContentRefused,
    MediaNotBase64,
    MediaTooLarge,
    MediaTypeRefused,
    NodeNotAllowed,
    NoOutputNode,
    NotFound,
    PlanLimit,
    QueueFull,
    QuotaExceeded,
    RateLimited,
    ScopeMissing,
    TooManyMedia,
    UiFormatWorkflow,
    Unauthenticated,
    Unavailable,
    UnknownMedia,
    UnknownPlan,
    UnknownUpload,
    UploadExists,
    UploadIncomplete,
    UploadMismatch,
    UploadsFull,
    UrlNotAllowed,
    UserBeingErased,
    WorkflowLimit,
    WorkflowTooLarge,
)

__all__ = [
    "AccessError",
    "AttemptError",
    "ConfigurationError",
    "CyclicWorkflow",
    "DanglingLink",
    "DeviceFailed",
    "DownloadFailed",
    "DownloadTooLarge",
    "EngineFailed",
    "GenjobsError",
    "IdempotencyMismatch",
    "IllegalTransition",
    "InputNotAllowed",
    "InputRefused",
    "InputUnavailable",
    "InspectionFailed",
    "InvalidCursor",
    "InvalidInput",
    "InvalidMedia",
    "InvalidRequest",
    "InvalidWorkflow",
    "JobFailure",
    "LimitReached",
    "MediaContentRefused",
    "MediaNotBase64",
    "MediaTooLarge",
    "MediaTypeRefused",
    "NoOutput",
    "NoOutputNode",
    "NodeError",
    "NodeNotAllowed",
    "NotFound",
    "OutOfMemory",
    "OutputNotStored",
    "PlanLimit",
    "QueueFull",
    "QueueTimeout",
    "QuotaExceeded",
    "RateLimited",
    "RenderInterrupted",
    "RunTimeout",
    "ScopeMissing",
    "StaleAttempt",
    "TooManyMedia",
    "UiFormatWorkflow",
    "Unauthenticated",
    "Unavailable",
    "UnknownMedia",
    "UnknownPlan",
    "UnknownUpload",
    "UploadExists",
    "UploadIncomplete",
    "UploadMismatch",
    "UploadsFull",
    "UrlNotAllowed",
    "UserBeingErased",
    "WorkerLost",
    "WorkflowLimit",
    "WorkflowRefused",
    "WorkflowTooLarge",
    "default_message",
    "leaves",
]
