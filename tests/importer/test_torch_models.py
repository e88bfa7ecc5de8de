"""Import from torch: the parameters are the model's, the products are those that torch's own counter finds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import convcli
from convcli.errors import ImportFailed
from convcli.records import NetworkRecord

torch = pytest.importorskip("torch")
import models  # noqa: E402 - it needs torch
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from convcli.importer.document import text  # noqa: E402
from convcli.importer.torch.load import torch_graph  # noqa: E402
from convcli.spec.load import loads  # noqa: E402

pytestmark = pytest.mark.torch
CASES: list[tuple[Callable[[], Any], tuple[tuple[int, ...], ...]]] = [
    (models.Functional, ((2, 8, 12, 12),)),
    (models.Shared, ((2, 8, 12, 12),)),
    (models.UNet, ((2, 3, 16, 16),)),
    (models.Attention, ((3, 7, 16),)),
    (models.Recurrent, ((2, 5, 8),)),
    (models.Unused, ((2, 3, 12, 12),)),
    (models.Written, ((2, 3, 12, 12),)),
    (models.Rotary, ((2, 4, 6),)),
]


def record_of(model: Any, *shapes: Any, **how: Any) -> NetworkRecord:
    """The summary of what was written and read again."""
    graph = torch_graph(model, *shapes, **how)
    return convcli.summarize(loads(text(graph).encode(), "model.yaml")).reports[0]


def counted(model: Any, *shapes: tuple[int, ...]) -> int:
    """The products that torch's counter sees when attention and recurrent layers are not fused."""
    counter = FlopCounterMode(display=False)
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    with counter, torch.no_grad(), torch.device("meta"):
        model.to("meta").eval()(*[torch.randn(shape) for shape in shapes])
    torch.backends.mha.set_fastpath_enabled(fast)
    return int(counter.get_total_flops()) // 2


@pytest.mark.parametrize(("make", "shapes"), CASES, ids=lambda value: getattr(value, "__name__", ""))
def test_parameters_and_products_are_torchs(make: Callable[[], Any], shapes: tuple[tuple[int, ...], ...]) -> None:
    record = record_of(make, *shapes)
    model = make()
    assert record.totals.params == sum(p.numel() for p in model.parameters())
    assert record.totals.complete
    assert record_of(model, *shapes).totals == record.totals
    assert record.totals.macs == counted(model, *shapes)
    assert record_of(make, *shapes, run=True).totals.macs == record.totals.macs


def test_weights_that_are_worked_out_are_counted_at_their_layers() -> None:
    record = record_of(models.WeightNorm, (2, 8, 12, 12))
    model, layers = models.WeightNorm(), by_name(record)
    assert record.totals.params == sum(p.numel() for p in model.parameters())
    assert layers["new"].params == 16 * 8 * 9 + 16
    assert layers["new.parametrizations.weight.original0"].params == 16
    assert layers["linear"].params == 4 * 16 + 4
    of_vectors = 4 * 16 + 4  # spectral norm's W v and u . (W v), which torch's counter leaves out
    assert record.totals.macs == counted(model, (2, 8, 12, 12)) + of_vectors


def by_name(record: NetworkRecord) -> dict[str, Any]:
    return {layer.name: layer for layer in record.layers}


def test_a_layer_used_again_is_counted_once() -> None:
    layers = by_name(record_of(models.Shared, (2, 8, 12, 12)))
    assert layers["block.0"].params == 8 * 8 * 9 + 8
    assert [name for name, layer in layers.items() if layer.shares == "block.0"] == ["block.0_2", "block.0_3"]
    assert layers["add"].from_ == ("block.2_2", "input")


def test_tied_weights_are_counted_once() -> None:
    record = record_of(models.Tied, ((2, 6), "int64"))
    assert record.totals.params == 50 * 8 + 50
    assert record.totals.macs == 2 * 6 * 8 * 50


def test_offsets_and_masks_feed_the_deformable_layer() -> None:
    layers = by_name(record_of(models.Deformable, (2, 4, 10, 10)))
    assert layers["deform"].type == "DeformConv2d"
    assert layers["deform"].from_ == ("input", "offset", "sigmoid")
    assert layers["deform"].params == 6 * 4 * 9 + 6
    assert layers["deform"].modulation_macs == 2 * 4 * 9 * 100


def test_attention_is_one_layer_where_that_says_all() -> None:
    layers = by_name(record_of(models.Attention, (3, 7, 16)))
    assert layers["whole"].type == layers["layer.self_attn"].type == "MultiheadAttention"
    assert layers["cross"].type == "MultiheadAttention"
    assert layers["masked.self_attn.softmax"].type == "Softmax"  # the mask is added in between


def test_every_input_has_its_place() -> None:
    record = record_of(models.Two, (2, 3, 8, 8), ((2, 5), "int64"))
    assert by_name(record)["input_2"].output == (2, 5)
    assert by_name(record)["words"].from_ == ("input_2",)
    assert record.totals.output == (2, 4)


def test_what_takes_no_part_is_listed() -> None:
    graph = torch_graph(models.Unused, (1, 3, 8, 8))
    assert [node.word for node in graph.nodes if node.comment == "takes no part"] == ["extra.weight", "extra.bias"]


def test_unknown_operations_are_said() -> None:
    record = record_of(models.Strange, (1, 3, 8, 8))
    assert not record.totals.complete
    assert [layer.name for layer in record.layers if layer.complete is False] == ["_fft_r2c"]
    assert by_name(record)["conv"].macs == 4 * 3 * 9 * 36


@pytest.mark.filterwarnings("ignore:.*torch.jit.*")
def test_scripted_parts_are_seen() -> None:
    record = record_of(models.Scripted(), (1, 3, 8, 8))
    assert [layer.type for layer in record.layers] == ["Conv2d", "ReLU"]
    assert record.totals.params == 4 * 3 * 9 + 4


@pytest.mark.parametrize("run", [False, True])
def test_what_is_not_seen_is_no_silent_zero(*, run: bool) -> None:
    record = record_of(models.Hidden, (1, 3, 8, 8), run=run)
    assert not record.totals.complete


def test_a_model_that_asks_for_values_is_told_about() -> None:
    with pytest.raises(ImportFailed, match=r"asks for a value \(float\).*--partial.*--run"):
        convcli.import_torch(models.Asks, (1, 3, 8, 8))
    part = record_of(models.Asks, (1, 3, 8, 8), partial=True)
    assert part.totals.macs == 4 * 3 * 9 * 36
    assert not part.totals.complete
    assert [layer.name for layer in record_of(models.Asks, (1, 3, 8, 8), run=True).layers] == [
        "a",
        "sum",
        "b.weight",
        "b.bias",
    ]


def test_what_data_would_choose_is_kept_and_said() -> None:
    graph = torch_graph(models.Keeps, (9, 4))
    assert graph.notes == ["the model: how many a mask keeps depends on data; all 9 are kept here"]
    assert record_of(models.Keeps, (9, 4)).totals.macs == 9 * 4 * 2


def test_nothing_stays_changed_when_a_model_raises() -> None:
    from torch import hub
    from torch.nn.modules import module as state

    model = models.Raises().train()
    before = (torch.nn.Module.load_state_dict, hub.load_state_dict_from_url, torch.backends.mha.get_fastpath_enabled())
    for target in (model, models.Raises, lambda: 1 / 0):
        with pytest.raises(ImportFailed, match=r"not today|division"):
            convcli.import_torch(target, (1, 3, 8, 8))
    after = (torch.nn.Module.load_state_dict, hub.load_state_dict_from_url, torch.backends.mha.get_fastpath_enabled())
    assert after == before
    assert not state._global_forward_hooks
    assert not state._global_forward_pre_hooks
    assert all(module.training and "forward" not in vars(module) for module in model.modules())
    assert torch.empty(1).device.type == "cpu"
    assert torch.overrides._get_current_function_mode_stack() == []


def test_a_model_of_somebodys_own_is_left_as_it_was() -> None:
    model = models.WeightNorm().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    record_of(model, (2, 8, 12, 12))
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_no_memory_is_taken() -> None:
    record = record_of(lambda: torch.nn.Linear(10**6, 10**6), (8, 10**6))  # 4 TB of weights
    assert record.totals.params == 10**12 + 10**6


def test_arguments_reach_the_callable() -> None:
    record = record_of(models.small, (1, 3, 8, 8), arguments={"width": 6, "bias": False})
    assert [layer.name for layer in record.layers] == ["0.pad", "0", "1", "2", "3", "4"]
    assert record.layers[1].output == (1, 6, 7, 7)


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("ij,jk->ik", ((3, 4), (4, 5))),
        ("bij,bkj->bik", ((2, 3, 4), (2, 5, 4))),
        ("bhqd,bhkd->bhqk", ((2, 3, 4, 5), (2, 3, 6, 5))),
        ("...ij,...jk->...ik", ((2, 3, 4, 5), (2, 3, 5, 6))),
        ("ij,jk", ((3, 4), (4, 5))),
        ("bi,ij,bj->b", ((2, 3), (3, 4), (2, 4))),
        ("nctv,vw->nctw", ((2, 3, 4, 5), (5, 6))),
    ],
)
def test_einsum_is_products_of_matrices(equation: str, shapes: tuple[tuple[int, ...], ...]) -> None:
    class Sum(torch.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, *x: Any) -> Any:
            return torch.einsum(equation, *x)

    record = record_of(Sum, *shapes)
    assert record.totals.output == torch.einsum(equation, *map(torch.zeros, shapes)).shape
    assert record.totals.complete
    if len(shapes) == 2:
        assert record.totals.macs == counted(Sum(), *shapes)


def test_the_written_spec_is_read_as_it_was_recorded(tmp_path: Path) -> None:
    network = convcli.import_torch(models.UNet, (2, 3, 16, 16))
    path = tmp_path / "unet.yaml"
    path.write_text(text(torch_graph(models.UNet, (2, 3, 16, 16))), encoding="utf-8")
    one, other = (convcli.summarize(net).reports[0] for net in (network, convcli.load(path)))
    assert one.totals == other.totals
    assert [layer.name for layer in one.layers] == [layer.name for layer in other.layers]
