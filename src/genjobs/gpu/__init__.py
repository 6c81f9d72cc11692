"""The worker around RunJob. Imports on a laptop: no modal, no torch."""
