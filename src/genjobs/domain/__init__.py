"""The rules of genjobs: jobs, workflows, tenancy, errors, ports. Standard library only; no I/O."""
