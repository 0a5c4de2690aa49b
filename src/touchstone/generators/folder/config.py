"""The section of params.yaml of images that were made elsewhere."""

from touchstone.config.schema.generator import FolderConfig

CONFIG = FolderConfig
