"""What CuPy 14 has and this package uses, with the arguments that may be named."""

import inspect

FUNCTIONS = {
    "abs": "", "exp": "", "expm1": "", "log": "", "log2": "", "log10": "", "log1p": "", "sqrt": "", "sign": "",
    "tanh": "", "cos": "", "sin": "", "square": "", "isfinite": "", "isnan": "", "logical_not": "", "negative": "",
    "maximum": "", "minimum": "", "subtract": "out", "multiply": "out", "divide": "out", "matmul": "out",
    "where": "", "broadcast_to": "", "reshape": "", "transpose": "", "swapaxes": "", "moveaxis": "", "expand_dims": "",
    "squeeze": "axis", "concatenate": "axis out", "stack": "axis out", "split": "axis", "tile": "", "repeat": "axis",
    "flip": "axis", "pad": "mode", "tensordot": "axes", "einsum": "", "dot": "", "vdot": "", "outer": "",
    "sum": "axis dtype keepdims", "mean": "axis dtype keepdims", "max": "axis keepdims", "min": "axis keepdims",
    "amax": "axis keepdims", "any": "axis keepdims", "all": "axis keepdims", "argmin": "axis", "argmax": "axis",
    "std": "axis", "var": "axis", "cumsum": "axis dtype", "clip": "", "argsort": "axis kind", "sort": "axis",
    "take": "axis", "take_along_axis": "axis", "arange": "dtype", "zeros": "dtype", "ones": "dtype", "empty": "dtype",
    "full": "dtype", "eye": "dtype", "zeros_like": "dtype", "ones_like": "dtype", "empty_like": "dtype",
    "full_like": "dtype", "ascontiguousarray": "dtype", "count_nonzero": "axis", "linspace": "dtype",
}  # fmt: skip
READING = {"bincount": "minlength", "flatnonzero": "", "nonzero": "", "unique": "return_counts"}  # they wait
METHODS = (
    "all any argmax argmin argsort astype clip conj copy cumsum dot flatten max mean min prod ravel repeat reshape "
    "round squeeze std sum swapaxes take transpose var view"
)
ATTRIBUTES = "T dtype imag itemsize nbytes ndim real shape size strides"
OPERATORS = (
    "add sub mul truediv floordiv mod pow matmul and or xor lt le gt ge eq ne radd rsub rmul rtruediv rfloordiv rmod "
    "rpow rmatmul iadd isub imul itruediv ifloordiv imod ipow iand ior ixor neg pos abs invert"
)


def misnamed(real):
    """What stands in the lists above and CuPy, the real one, does not have."""
    wrong = [name for name in f"{METHODS} {ATTRIBUTES}".split() if not hasattr(real.ndarray, name)]
    for name, keywords in (FUNCTIONS | READING).items():
        function = getattr(real, name, None)
        if function is None:
            wrong.append(name)
        elif not isinstance(function, real.ufunc):  # ufuncs have `out`
            wrong += [f"{name}({k})" for k in set(keywords.split()) - set(inspect.signature(function).parameters)]
    return wrong
