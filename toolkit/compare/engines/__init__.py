"""The engines that fusekit is compared with, a file each, and fusekit itself as one of them."""
