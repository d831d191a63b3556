"""How good a codec is: measures, Opus and MP3 beside it, a report, a listening test."""
