"""Tensors in, matplotlib Figures out: no model and no disk.

images.py shows images, codes.py codes, charts.py numbers, networks.py what a model is made of;
diagrams.py explains.
"""
