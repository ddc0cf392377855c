"""Many models on many devices: a plan of independent jobs, a journal of what became of each, pools that do them."""
