"""The rules of genjobs: jobs, workflows, tenancy, errors and ports. Standard library only; no I/O."""
