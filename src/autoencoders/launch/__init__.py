"""What Hydra is told: which folder, which jobs, which search. No newcomer need enter."""
