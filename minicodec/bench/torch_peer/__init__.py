"""The rival of `minicodec bench --peer torch`. Nothing else in minicodec imports torch."""
