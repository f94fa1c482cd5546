"""Data on its way to a model: batching, padding and masks."""
