"""
The chaos run: many short jobs on real processes and a real Postgres, and everything that can fail.

``plan`` says how much of what; ``cluster`` holds a Postgres that can be stopped, ``fleet`` the
processes (``member`` is what runs in them, ``failpoints`` where they die), ``load`` submits the
jobs that ``orders`` describes and ``troubles`` makes trouble meanwhile; ``checks`` judges
afterwards, and ``figures`` prints. ``GENJOBS_TEST_CHAOS_SEED`` repeats a run's choices.
"""
