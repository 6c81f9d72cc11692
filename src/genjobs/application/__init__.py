"""The use cases of genjobs, one per module: what is done, in which order, through which ports."""
