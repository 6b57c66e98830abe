"""The shipped network and how it is made: datasets, training, evaluation, and artifacts."""
