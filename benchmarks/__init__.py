"""One command for each performance figure of the README; see docs/measuring.md.

python -m benchmarks.peers            every zoo net, and models given, in fusekit and in its peers
python -m benchmarks.levels           the fusion levels against each other and against engines that fuse as much
python -m benchmarks.kernel_peak      single convolutions against the peak of this core
python -m benchmarks.readme_table     writes the README's tables from the records of the first two
"""
