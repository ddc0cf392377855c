"""The lab's boards, as tests use them."""

from fusekit.toolkit.lab.board import ADDRESS, Board, free_port, make_key
from fusekit.toolkit.lab.rootfs import USER

__all__ = ["ADDRESS", "USER", "Board", "free_port", "make_key"]
