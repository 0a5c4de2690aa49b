"""Commands around the pipeline: studies, sweeps, comparing revisions, predicting folders."""
