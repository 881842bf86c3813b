"""GeoTIFF files, written by rasterio, which not everybody has."""

from pathlib import Path

import numpy as np


def geotiff(path: Path, values: np.ndarray, crs: str = "EPSG:32632", **settings) -> Path:
    """A GeoTIFF of 10 metres a pixel."""
    import rasterio  # noqa: PLC0415
    from affine import Affine  # noqa: PLC0415

    size = {"height": values.shape[0], "width": values.shape[1], "count": values.shape[2], "dtype": values.dtype}
    place = {"crs": crs, "transform": Affine(10, 0, 500_000, 0, -10, 5_300_000)}
    with rasterio.open(path, "w", driver="GTiff", **size, **place, **settings) as file:
        file.write(np.moveaxis(values, 2, 0))
    return path
