"""What the ports are in the real world, one subject per module or package."""
