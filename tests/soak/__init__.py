"""
Many hours of a busy deployment in a few minutes, to see what grows that should not.

``hurried`` is the process, ``clients`` what it is used for, ``growth`` what is measured of it.
"""
