"""What can keep artefacts, one file each; a provider knows nothing of caching, compressing or retrying."""
