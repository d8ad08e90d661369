"""Bundles: what builds make of uploads, and runs load. A `.tar.gz` of plain files: the agent's, its packages'."""

from shared.domain.archive_names import Caps

PACKAGES = ".packages"
"""The folder of a bundle from which what the wheels hold is imported."""

CAPS = Caps(members=20_000, depth=22, file_bytes=250_000_000, expanded_bytes=1_400_000_000, ratio=1_100)
"""What a bundle may hold: all that an archive and its wheels may. No gzip is denser than 1,032 to 1."""
