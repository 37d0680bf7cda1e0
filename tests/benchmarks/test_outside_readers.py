"""The programs of others that are installed here read every draft; benchmarks/outside_readers.py asks more of them."""

from pathlib import Path

import pytest

from benchmarks.outside_readers import rows_of, write


@pytest.mark.parametrize("nested", [False, True], ids=["flat", "nested"])
def test_no_reader_reads_fewer_boxes_than_were_written(nested: bool, tmp_path: Path) -> None:
    write(tmp_path, nested)
    rows = {(form, reader): counts for form, reader, *counts in rows_of(tmp_path)}
    assert {("coco", "pycocotools"), ("coco", "torchvision"), ("voc", "torchvision")} <= rows.keys()
    for row, (written, read, right, seen) in rows.items():
        assert read == written, row
        # torchvision shows the stored pixels of your own two images that EXIF turns.
        assert right == (seen - 2 if row == ("coco", "torchvision") else seen), row
