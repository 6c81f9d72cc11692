"""Settings of a worker's ComfyUI: where it is, what starts it, what its process is given."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

#: What programs need of an environment, and devices and their libraries are told by.
_HANDED_ON: Final = frozenset(
    {"PATH", "HOME", "TMPDIR", "LANG", "LANGUAGE", "TZ", "LD_LIBRARY_PATH"}
)
_HANDED_ON_PREFIXES: Final = ("LC_", "CUDA_", "NVIDIA_", "PYTORCH_")


class ComfyUISettings(BaseSettings):
    """ComfyUI, as a worker has it: nothing secret, so a worker may read it before a snapshot."""

    model_config = SettingsConfigDict(
        env_prefix="GENJOBS_", env_file=".env", extra="ignore", frozen=True
    )

    data_directory: Path = Field(Path(".genjobs"), description="Where embedded parts keep files")

    comfyui_url: str = Field(
        "simulator://", description="simulator:// or the address of a ComfyUI, http://host:port"
    )
    comfyui_directory: Path | None = Field(
        None,
        description="ComfyUI's base directory (holds input and output) when it is on this machine",
    )
    comfyui_command: str | None = Field(
        None,
        description="Command that starts the ComfyUI at comfyui_url, as in a shell; {port} and "
        "{directory} are put in. The worker then starts it, and kills and restarts it if it hangs",
    )
    comfyui_workdir: Path | None = Field(None, description="Folder to start that command in")
    comfyui_start_seconds: float = Field(300, gt=0, description="How long its start may take")
    comfyui_deaf_seconds: float = Field(
        180,
        gt=0,
        description="How long ComfyUI may give no answer before it counts as lost, and is killed "
        "if the worker started it; nodes can freeze its server for long",
    )
    comfyui_user: str | None = Field(
        None,
        description="User of this machine that its process runs as, and nothing else; it then "
        "reaches no file and no process of the worker's. Only for workers that run as root",
    )
    comfyui_snapshot: bool = Field(
        False,
        description="Whether a container's memory snapshot holds a ComfyUI that has imported what "
        "takes long; see docs/snapshot.md",
    )
    comfyui_preload: tuple[str, ...] = Field(
        (),
        description="Modules that it imports for that besides ComfyUI's own, such as those of "
        "custom nodes, as a JSON list; none may ask for a device when it is imported",
    )
    comfyui_environment: tuple[str, ...] = Field(
        (),
        description="Names of environment variables that its process is given besides PATH, HOME, "
        "TMPDIR, LD_LIBRARY_PATH and those of language, time zone and GPU, as a JSON list",
    )

    def environment_of_comfyui(self) -> dict[str, str]:
        """Return the variables that ComfyUI's process is given: custom nodes can read them."""
        names = _HANDED_ON.union(self.comfyui_environment)
        return {
            name: value
            for name, value in os.environ.items()
            if name in names or name.startswith(_HANDED_ON_PREFIXES)
        }
