"""Operations on pixels: resizing, geometry, colour, crops."""
