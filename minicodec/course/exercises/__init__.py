"""The exercises, a file per chapter: `EXERCISES`, in the order in which the chapter sets them."""
