"""The command line client `audiolift` (the extra `cli`). Its modules talk to a platform by HTTP only."""
