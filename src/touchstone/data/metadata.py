"""Takes the metadata out of an image file, where they are damaged and the pixels may be sound."""

import struct

PNG = b"\x89PNG\r\n\x1a\n"
PNG_KEPT = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS"})
JPEG = b"\xff\xd8"
JPEG_KEPT = frozenset({0xE0, 0xEE})  # APP0 (JFIF) and APP14 (Adobe), which say what the colours are


def without_metadata(content: bytes) -> bytes | None:
    """Return a PNG without all chunks that its pixels do not need, a JPEG without such segments; None for others."""
    if content.startswith(PNG):
        return _png(content)
    return _jpeg(content) if content.startswith(JPEG) else None


def _png(content: bytes) -> bytes:
    """PNG specification, third edition, 5.3: a chunk is length, type, data and CRC."""
    kept, at = [PNG], len(PNG)
    while at + 12 <= len(content):
        size, kind = struct.unpack(">L4s", content[at : at + 8])
        kept += [content[at : at + 12 + size]] if kind in PNG_KEPT else []
        at += 12 + size
    return b"".join(kept)


def _jpeg(content: bytes) -> bytes:
    """ITU-T T.81, B.1.1: before the first scan a segment is marker, length and data."""
    kept, at = [JPEG], len(JPEG)
    while at + 4 <= len(content) and content[at] == 0xFF:
        marker, size = content[at + 1], struct.unpack(">H", content[at + 2 : at + 4])[0]
        if marker == 0xDA or size < 2:  # the scan, up to the end
            break
        metadata = (0xE0 <= marker <= 0xEF and marker not in JPEG_KEPT) or marker == 0xFE
        kept += [] if metadata else [content[at : at + 2 + size]]
        at += 2 + size
    return b"".join([*kept, content[at:]])
