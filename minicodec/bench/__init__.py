"""`minicodec bench`: how fast is minicodec on this machine, and how does it compare with PyTorch?

    cases.py        the codec in use and in training: names, sizes, targets; weights and inputs
    ours.py         minicodec's side of the cases
    torch_peer/     PyTorch's side, on the same weights; engines that run what it exports; the released package
    ops.py          single operators, definition against fast pair
    start.py        import, first use, memory of long files
    command.py      `minicodec encode` as a whole, and the released package
    machine.py      the machine's name and ceilings; the time of a call
    child.py        a process that measures one thing, and how it is started
    run.py          everything in turn: who measures when, whether both compute the same
    report.py       tables
    pictures.py     bench.png, roofline.png, curve.png
"""

ENGINES = ("onnxruntime", "openvino")  # peers that only run networks
