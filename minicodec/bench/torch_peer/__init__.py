"""The rivals of `minicodec bench --peer`. Nothing else in minicodec imports torch."""
