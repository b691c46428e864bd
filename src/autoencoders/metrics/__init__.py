"""What a model is worth, in numbers: functions of tensors, and the feature extractors they use."""
