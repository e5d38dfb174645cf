"""The study: which loss, which auxiliary target, which score and which fragments segment best."""
