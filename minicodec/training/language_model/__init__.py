"""Training the language model of a codec's codes [Defossez22, §3.3]."""
