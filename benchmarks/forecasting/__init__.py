"""The forecasting engine measured: beside bare library calls, beside a loop of Prophets, at ten times the size."""
