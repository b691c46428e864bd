"""Auto-encoders on PyTorch Lightning: AE, VAE and Wasserstein auto-encoders side by side."""
