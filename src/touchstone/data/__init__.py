"""Images from any source to batches: sources, splits, transforms, training sets."""
