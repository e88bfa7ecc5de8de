"""ONNX files as specs: `read` takes the file apart, `walk` goes through its operators, `table` tells what each of them is."""
