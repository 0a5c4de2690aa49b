"""The results of a run as an HTML page and as its Markdown twin for reviews, both from one set of facts."""
