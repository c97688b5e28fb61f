"""What a set of forecasts is, bit for bit, in one line."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd

VALUES = ("yhat", "lo80", "hi80", "lo95", "hi95")


def forecast_sha256(frame: pd.DataFrame) -> str:
    """SHA-256 of forecasts (unique_id, ds, h, yhat, lo80, hi80, lo95, hi95), whatever the order of the rows.

    Of series, day and step as 64-bit integers and of the figures as 64-bit floats, little-endian, column by column:
    equal where and only where every bit of every figure is.
    """
    frame = frame.sort_values(["unique_id", "h"], kind="stable")
    digest = hashlib.sha256()
    days = frame["ds"].to_numpy().astype("datetime64[D]").astype("int64")
    for whole in (frame["unique_id"].to_numpy(), days, frame["h"].to_numpy()):
        digest.update(np.ascontiguousarray(whole, dtype="<i8").tobytes())
    for name in VALUES:
        digest.update(np.ascontiguousarray(frame[name].to_numpy(), dtype="<f8").tobytes())
    return digest.hexdigest()
