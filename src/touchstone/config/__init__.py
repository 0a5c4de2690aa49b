"""What may stand in params.yaml, how it is read, merged with defaults and checked."""
