"""genjobs runs ComfyUI workflows as jobs."""
