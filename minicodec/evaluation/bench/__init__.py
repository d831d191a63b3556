"""`minicodec bench`: how fast is all this on this machine, and how does it compare with PyTorch?

    cases.py        what is measured beyond single operators: names, sizes, weights and inputs, work, targets
    ours.py         minicodec's side of the cases
    torch_peer/     PyTorch's side, on the same weights
    ops.py          the operators, definition against fast pair
    machine.py      the machine's ceilings; time and memory of a call
    child.py        one process that measures
    run.py          sends out these processes, minicodec's and PyTorch's by turns; compares results, gathers figures
    report.py       tables
    pictures.py     bench.png and roofline.png
"""
