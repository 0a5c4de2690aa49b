"""Opens HEIC and HEIF images by pillow-heif, the extra `heic`. AVIF needs no extra: Pillow reads it."""

from typing import BinaryIO

from PIL import Image

from touchstone.errors import TouchstoneError

SUFFIXES = (".heic", ".heif", ".hif")
HEVC = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"))
ANY_CODEC, AV1 = frozenset((b"mif1", b"msf1")), frozenset((b"avif", b"avis"))


def is_heif(head: bytes) -> bool:
    """Return whether a file that begins so is a HEIF image other than AVIF, by the brands in its first box."""
    size = int.from_bytes(head[:4], "big")
    brands = {head[at : at + 4] for at in range(8, min(size, len(head)), 4)} if head[4:8] == b"ftyp" else set()
    return bool(brands & HEVC or (brands & ANY_CODEC and not brands & AV1))


def open_heif(file: BinaryIO) -> Image.Image:
    """Open the image without decoding it. Raises TouchstoneError without pillow-heif, which a bad image would not."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        raise TouchstoneError("HEIC images need pillow-heif; install it with pip install 'touchstone[heic]'") from None
    register_heif_opener(thumbnails=False)
    return Image.open(file, formats=("HEIF",))
