from ..lab.fixtures import lab, pi5, pi5_board

__all__ = ["lab", "pi5", "pi5_board"]
