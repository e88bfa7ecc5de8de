"""timm's models, where timm is installed: parameters and products are those of torch's own counter."""

from __future__ import annotations

import pytest

import convcli

timm = pytest.importorskip("timm")
torch = pytest.importorskip("torch")

pytestmark = pytest.mark.torch
MODELS = ("convnext_atto", "efficientnet_b0", "vit_tiny_patch16_224", "swinv2_tiny_window8_256", "xcit_nano_12_p8_224",
          "mobilevitv2_050", "lambda_resnet26t", "halonet26t", "tf_efficientnet_cc_b0_4e")  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("name", MODELS)
def test_parameters_and_products_are_torchs(name: str) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    size = (1, *timm.get_pretrained_cfg(name).input_size)
    totals = convcli.summarize(convcli.import_torch(timm.create_model, size, model_name=name)).reports[0].totals
    model = timm.create_model(name).eval()
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        model.to("meta")(torch.empty(size, device="meta"))
    assert totals.params == sum(p.numel() for p in model.parameters())
    assert totals.macs == counter.get_total_flops() // 2
    assert totals.complete
