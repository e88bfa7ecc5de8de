"""ONNX files as specs: `read` takes the file apart, `walk` goes through its operators, `table` knows each of them."""

from importlib.util import find_spec

from convcli.errors import BackendMissing

if find_spec("onnx") is None:
    raise BackendMissing('onnx is not installed; pip install "convcli[onnx]"')
