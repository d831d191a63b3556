"""Models of other programs: EnCodec's .th files and the folders of `transformers`, read without either."""
