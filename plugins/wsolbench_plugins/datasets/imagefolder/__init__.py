"""``imagefolder``: your own photos in class folders, with a CSV, COCO or VOC file of boxes.

::

    ROOT/train/<class>/*.jpg    train-weaksup
    ROOT/val/<class>/*.jpg      train-fullsup
    ROOT/test/<class>/*.jpg     test; a folder of class folders alone is test

ROOT may be a ZIP file. Labels are the places of the class folders in the order of their names, over all splits. Boxes
come from a file or a folder of files, `--metadata-root`:

==========  ============================================================================================================
``*.csv``   with a header of a common tool, such as ``image,x0,y0,x1,y1`` (inclusive corners); ``*.tsv`` too
``*.json``  COCO: ``images`` and ``annotations`` with ``bbox``
``*.xml``   VOC, one an image; counted from 1, unless boxes show that it is from 0
==========  ============================================================================================================

The category of a box in a table is the column whose values are class folders, whatever its title. A box without area
is none; one without category where others have one is an error, and so are numbers that cannot be pixels.

An image is named by as much of its path as it takes to tell it from the others. Boxes of images to train on do not
count. Where files name the category of a box, it counts in the images of the class folder of that name, and
``--class-map`` says which belong together where names differ; all boxes of one category such as ``object`` count.
COCO's crowds are left out. Width and height become corners by the rule of CUB: (x, y, min(x + w, W - 1),
min(y + h, H - 1)).
"""

from __future__ import annotations

from wsolbench.api import Dataset, DatasetRoots, DatasetSpec, UsageError, hookimpl


@hookimpl
def wsolbench_datasets() -> list[DatasetSpec]:
    """Offer the layout under one name; the places come from the command line."""
    return [
        DatasetSpec(
            "imagefolder",
            _build,
            "class folders, and boxes in a CSV, COCO or VOC file",
            description="Your own photos. --data-root: a folder or ZIP file with train/CLASS, val/CLASS "
            "(train-fullsup) and test/CLASS, or class folders alone, which are test. --metadata-root: a CSV with the "
            "columns image, x0, y0, x1, y1, a COCO file, or a folder of VOC files.",
        )
    ]


def _build(roots: DatasetRoots) -> Dataset:
    if roots.images is None:
        raise UsageError("'imagefolder' needs its folder; pass --data-root DIR, which holds test/CLASS/IMAGE")
    if roots.masks is not None:
        raise UsageError("'imagefolder' is scored by boxes; use --dataset folder for masks")
    from wsolbench_plugins.datasets.imagefolder.dataset import build

    return build(roots)
