"""Models of one reference that become one: fusion, merging, product, and whether they know a new material.

Fusion, merging and product of sparse Gaussian processes are those of Hajibabaei, Kim, J. Phys. Chem. Lett. 2021, 12,
8115 (10.1021/acs.jpclett.1c01605).
"""
