"""What Audiolift's functions share: events, errors, settings, jobs, stores, tokens, links and publishing."""
