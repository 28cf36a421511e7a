"""Systems: trained models put together, by sums of log-likelihoods."""
