from .fixtures import boot, device, inventory, machine, user_key

__all__ = ["boot", "device", "inventory", "machine", "user_key"]
