"""`minicodec bench`: how fast is all this on this machine, and how does it compare with PyTorch?

    cases.py        what is measured beyond single operators: names, sizes, weights and inputs, targets
    work.py         how many multiplications and additions that is
    ours.py         minicodec's side of the cases
    torch_peer/     PyTorch's side, on the same weights
    ops.py          the operators, definition against fast pair
    start.py        the first use, and the memory of long files
    machine.py      what the machine is; time and memory of a call; its ceilings
    place.py        the same for a GPU
    child.py        one process that measures
    send.py         starts it, and ends it when its time is up
    run.py          sends out these processes, minicodec's and PyTorch's by turns; gathers figures
    compare.py      do both compute the same?
    report.py       tables
    targets.py      the table of all that was meant to be reached
    pictures.py     bench.png and roofline.png
"""
