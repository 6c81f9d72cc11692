"""The HTTP contract of genjobs: FastAPI over the use cases, problem documents, signed files."""
