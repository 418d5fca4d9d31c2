"""The simulated camera: makes pictures of metal luggage tags, with their truth, and drops them as files.

The picture's path: `plate` and `surroundings`, `marks` on the plate, `tag` (the photograph and its
truth), `drop` (files in a directory); `command` is the command line.
"""

from edgehost.camera.command import add_arguments
from edgehost.camera.drop import drop, write
from edgehost.camera.tag import TagPicture, generate, render_tag
from edgehost.camera.truth import Box, read_labels, writing_labels

__all__ = [
    "Box",
    "TagPicture",
    "add_arguments",
    "drop",
    "generate",
    "read_labels",
    "render_tag",
    "write",
    "writing_labels",
]
