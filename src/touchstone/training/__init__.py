"""Training: the classifier, what is kept beside it, and a run of several seeds."""
