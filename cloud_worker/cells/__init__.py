"""White cells of a field: where they are and how many; and the four-class set's own colour segmentation."""

from cloud_worker.cells.authors import mask_as_authors, segment_as_authors
from cloud_worker.cells.seen import SeenField, look_at
from cloud_worker.cells.white_cells import Box, WhiteCells, find_white_cells

__all__ = [
    "Box",
    "SeenField",
    "WhiteCells",
    "find_white_cells",
    "look_at",
    "mask_as_authors",
    "segment_as_authors",
]
