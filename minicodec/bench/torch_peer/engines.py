"""Engines that run what PyTorch exports: ONNX Runtime and OpenVINO, on the networks and inputs of its cases.

Both in float32, whatever else they think the processor is good at, and on as many threads as they are given.
"""

import io
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from minicodec.bench.cases import Case, Prepared
from minicodec.bench.torch_peer.cases import network_of, shown


def prepare(case: Case, preset: str, engine: str, threads: int) -> Prepared:
    """The case, ready to run on an engine."""
    network, x = network_of(case, preset)
    file: Any = io.BytesIO()  # more than its signature promises
    with warnings.catch_warnings():  # of the older way to export, which needs no further package
        warnings.simplefilter("ignore")
        torch.onnx.export(network.eval(), (x,), file, input_names=["x"], output_names=["y"], dynamo=False)
    run = ENGINES[engine](file.getvalue(), threads)
    return Prepared(partial(run, x.numpy()), partial(shown, case))


def onnxruntime(model: bytes, threads: int) -> Callable[[np.ndarray], np.ndarray]:
    """As it comes: all optimisations of the graph are on."""
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session: Any = InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda x: session.run(["y"], {"x": x})[0]


def openvino(model: bytes, threads: int) -> Callable[[np.ndarray], np.ndarray]:
    """For a single request at a time."""
    from openvino import Core

    core = Core()
    hints = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    request: Any = core.compile_model(core.read_model(model), "CPU", hints).create_infer_request()
    return lambda x: request.infer({"x": x})["y"]


ENGINES = {"onnxruntime": onnxruntime, "openvino": openvino}
