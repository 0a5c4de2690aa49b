"""The settings in params.yaml: their schema, how they are read and merged with defaults, and how they are checked."""
