"""What a worker imports before its memory is snapshotted: code, and nothing that lives."""

from __future__ import annotations


def load_worker_modules() -> None:
    """
    Import what a pushed worker needs.

    No connection, lock, random seed or name of the machine may come of it: they would be shared by
    every container that the snapshot is restored to. The one exception is the container's name as
    ``note_loading`` keeps it, by which a restored process knows that it is one.
    """
    import genjobs.adapters.comfyui
    import genjobs.adapters.modal
    import genjobs.adapters.postgres
    import genjobs.adapters.r2
    import genjobs.bootstrap.working

    genjobs.adapters.modal.note_loading()
