"""What a model is worth, in numbers: functions of tensors.

Each file ends with the list of its metrics: a function beside what its numbers are called and which
direction is better. Evaluations, tables and searches go through these lists.
"""
