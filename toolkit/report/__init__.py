"""Records in, a PDF and PNGs out."""
