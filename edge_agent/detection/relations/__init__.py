"""Relations between named metrics, and findings where a measured value departs from what the others predict."""
