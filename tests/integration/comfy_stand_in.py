"""A folder that starts as ComfyUI does, as far as being prepared goes, with a torch that notes."""

from __future__ import annotations

import textwrap
from pathlib import Path

FILES = {
    "torch/__init__.py": "from torch import cuda\n",
    "torch/cuda/__init__.py": """
        def _lazy_init(): CALLS.append("_lazy_init")
        def is_available(): CALLS.append("is_available"); return True
        def current_device(): CALLS.append("current_device"); _lazy_init(); return 0
        CALLS = []
        """,
    "heavy.py": "import torch\nfrom torch.cuda import is_available\n",
    "nosy.py": "import torch\nCUDA = torch.cuda.is_available()\n",
    "comfy/__init__.py": "",
    "comfy/model_management.py": """
        import torch
        BEFORE = list(torch.cuda.CALLS)
        DEVICE = torch.cuda.current_device()
        """,
    # As in ComfyUI: torch is first imported here, after what must be before it.
    "main.py": """
        import os
        os.environ["PYTORCH_CUDA_ALLOC_CONF"] = "backend:cudaMallocAsync"
        import json, random, sys, tempfile, time
        random.seed(1)
        if "--no-gate" not in sys.argv:
            import comfy.model_management as management
            import heavy, torch
            heavy.is_available()
        else:
            time.sleep(600)
        said = {
            "argv": sys.argv, "path": sys.path[0], "name": __name__,
            "main": sys.modules["__main__"].__file__,
            "environment": dict(os.environ), "stdin": os.readlink("/proc/self/fd/0"),
            "before": management.BEFORE, "calls": torch.cuda.CALLS,
            "plain": not hasattr(torch.cuda.is_available, "__wrapped__"),
            "random": random.random(), "user": os.getuid(),
        }
        with open(sys.argv[1] + ".part", "w") as file:
            json.dump(said, file)
        os.rename(sys.argv[1] + ".part", sys.argv[1])
        print("serves", flush=True)
        time.sleep(600)
        """,
}


#: In place of ``main.py``: the simulator behind the gate, ``main.py PORT FOLDER``.
SIMULATOR = """
    import sys
    import comfy.model_management
    from pathlib import Path
    from genjobs.simulator.server import serve_simulator
    serve_simulator(Path(sys.argv[2]), int(sys.argv[1]), announce=lambda _: None)
    """


def make(folder: Path, **files: str) -> Path:
    """Write it into a folder that everybody may read, with other files in place of its own."""
    for name, text in {**FILES, **files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return folder
