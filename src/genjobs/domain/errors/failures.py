"""Why a job failed, and what a worker is told about its attempt."""

from __future__ import annotations

from genjobs.domain.errors.base import GenjobsError


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


class DeviceFailed(JobFailure):
    """The graphics device of the worker failed."""

    code = "device_failed"
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


class DownloadFailed(GenjobsError):
    """The file could not be downloaded."""

    code = "download_failed"
    retryable = True


class DownloadTooLarge(DownloadFailed):
    """The file to download is larger than allowed."""

    code = "download_too_large"
    retryable = False


class InspectionFailed(GenjobsError):
    """The file could not be inspected: what looks into it is lost whenever it does."""

    code = "inspection_failed"
    retryable = True


class IllegalTransition(GenjobsError):
    """The job cannot take this step from its present state."""

    code = "illegal_transition"


class ConfigurationError(GenjobsError):
    """The configuration is not usable."""

    code = "configuration"
