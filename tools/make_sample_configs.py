"""Write sample_configs with torch's own numbers: python tools/make_sample_configs.py [--check]

networks/  is written: every convolution of real networks, as torch runs them.
kinds/     the layers are written by hand; what torch says of each becomes its `expect`. The JSON twins follow.
worked/    is by hand, numbers too; they are compared with torch's and never changed.

Needs torch, torchvision and PyYAML; deliberately not convcli, which is held to these numbers. --check writes nothing.
Exit code 1: a worked number is wrong or, with --check, a file is not what this torch would write.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from sample_networks import networks
from torch_counts import Fields, expected

if TYPE_CHECKING:
    from collections.abc import Iterator

POSITIONS = ("in_channels", "out_channels", "kernel_size", "stride", "padding")
ROOT = Path(__file__).resolve().parent.parent / "sample_configs"
LAYER = re.compile(r"^  - \{([^{}]*?)(?:,\s*expect: \{[^{}]*\})?\}$", re.MULTILINE)
# Plain words for types and what they are in PyTorch; {} is the input's rank.
WORDS = {
    "Conv": "Conv{}d",
    "standard": "Conv{}d",
    "pointwise": "Conv{}d",
    "grouped": "Conv{}d",
    "dilated": "Conv{}d",
    "depthwise": "DepthwiseConv{}d",
    "depthwise_separable": "SeparableConv{}d",
    "transposed": "ConvTranspose{}d",
    "conv-transpose-2d": "ConvTranspose2d",
    "deformable": "DeformConv{}d",
}


def flow(value: Any) -> str:
    """A value in YAML's flow style; every string here is one that needs no quotes."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {flow(item)}' for key, item in value.items())}}}"
    return f"[{', '.join(map(flow, value))}]" if isinstance(value, list) else str(value)


def expectations(text: str) -> Iterator[tuple[Fields, Fields]]:
    """(a layer of the file, what torch says of it), in order; a layer without an input takes the last output."""
    spec = yaml.safe_load(text)
    last = spec.get("input_layout") == "channels_last"
    x = spec.get("input")
    for item in spec["layers"]:
        layer = spelled(item) if isinstance(item, str) else item
        x = layer.get("input", x)
        kind = WORDS.get(layer["type"], layer["type"]).format(len(x) - 2)
        numbers = expected(layer | {"type": kind, "input": [x[0], x[-1], *x[1:-1]] if last else x})
        output = numbers["output"]
        if last:
            numbers["output"] = [output[0], *output[2:], output[1]]
        x = numbers["output"]
        yield layer, numbers


def spelled(text: str) -> Fields:
    """Conv2d(3, 64, kernel_size=(7, 7), padding=same) as a layer's fields."""
    call: Any = ast.parse(text, mode="eval").body
    pairs = [
        *zip(POSITIONS, call.args, strict=False),
        *((str(keyword.arg), keyword.value) for keyword in call.keywords),
    ]
    fields = {name: node.id if isinstance(node, ast.Name) else ast.literal_eval(node) for name, node in pairs}
    lists = {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}
    return {"type": call.func.id} | lists


def filled(text: str) -> str:
    """The file with every layer's `expect` as torch has it; layers are flow mappings, one below the other."""
    numbers = (numbers for layer, numbers in expectations(text) if "name" in layer)
    return LAYER.sub(lambda match: f"  - {{{match[1]},\n     expect: {flow(next(numbers))}}}", text)


def json_twin(text: str) -> str:
    """The same spec as JSON, a layer a line."""
    spec = yaml.safe_load(text)
    layers = ",\n    ".join(map(json.dumps, spec.pop("layers")))
    head = json.dumps(spec).removesuffix("}")
    return f'{head}, "layers": [\n    {layers}\n]}}\n'


def json_lines(texts: dict[str, str]) -> str:
    """The first layer of each file, named after the file, a line each."""
    firsts = {name: yaml.safe_load(text)["layers"][0] for name, text in texts.items()}
    return "".join(json.dumps(layer | {"name": name}) + "\n" for name, layer in firsts.items() if "input" in layer)


def contents() -> dict[Path, str]:
    """Every file this script is the author of."""
    kinds = {path: filled(path.read_text("utf-8")) for path in sorted((ROOT / "kinds").glob("*.yaml"))}
    files = {ROOT / "networks" / f"{name}.yaml": text for name, text in networks(flow).items()} | kinds
    files[ROOT / "kinds" / "conv2d.json"] = json_twin(kinds[ROOT / "kinds" / "conv2d.yaml"])
    files[ROOT / "kinds" / "layers.jsonl"] = json_lines({path.stem: text for path, text in kinds.items()})
    return files


def wrong_by_hand() -> Iterator[str]:
    """Numbers written by hand that are not torch's."""
    alone = [path for path in ROOT.glob("*.yaml") if path.stem != "residual"]  # blocks and shared layers: verify's
    for path in sorted([*alone, *(ROOT / "worked").glob("*.yaml")]):
        for layer, numbers in expectations(path.read_text("utf-8")):
            for key, value in layer.get("expect", {}).items():
                if (found := numbers.get(key)) != value:
                    yield f"{path.relative_to(ROOT)}: {layer['name']}: {key} is {value}, torch has {found}"


def main(arguments: list[str]) -> int:
    """Write the files, or with --check only compare; 1 when something is wrong, else 0."""
    wrong = list(wrong_by_hand())
    for path, text in contents().items():
        if path.exists() and path.read_text("utf-8") == text:
            continue
        if "--check" in arguments:
            wrong.append(f"{path.relative_to(ROOT)}: not what this torch gives")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
