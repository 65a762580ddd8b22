"""Schedulers behind one contract: what is submitted, asked and cancelled, in the words of each."""
