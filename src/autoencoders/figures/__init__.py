"""Tensors in, matplotlib Figures out: no model and no disk.

images.py shows images, codes.py codes, charts.py numbers; diagrams.py explains.
"""
