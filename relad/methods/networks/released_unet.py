"""The published release's own network, so that its weights can be loaded.

Attention blocks that are transformers of their own, modulation by an added embedding, and
convolutions after nearest neighbours make it another network than :class:`UNet3d`, which cannot
hold these weights. It is MONAI's, with the release's arguments.
"""

from __future__ import annotations

from torch import Tensor, nn

from relad.errors import ReladError
from relad.methods.networks.blocks import padded


class ReleasedUNet(nn.Module):
    """MONAI's DiffusionModelUNet with the release's arguments: 3,038,017 parameters.

    Channels 16, 32, 64; two residual blocks; attention at the third level, where cross-attention
    without a context is a second self-attention.

    Raises
    ------
    ReladError
        Where MONAI is not installed.
    """

    def __init__(self, in_channels: int, tracers: int):
        super().__init__()
        try:
            from monai.networks.nets import DiffusionModelUNet
        except ImportError as error:
            raise ReladError(
                f"the release's network is MONAI's, which is not installed ({error})",
                hint="pip install monai einops",
            ) from None
        self.unet = DiffusionModelUNet(
            spatial_dims=3,
            in_channels=in_channels,
            out_channels=1,
            channels=(16, 32, 64),
            attention_levels=(False, False, True),
            num_head_channels=(0, 0, 64),
            num_res_blocks=2,
            norm_num_groups=8,
            use_flash_attention=True,
            with_conditioning=True,
            cross_attention_dim=64,
            num_class_embeds=tracers + 1,  # the release has a class that never occurs
        )

    def forward(self, x: Tensor, tracer: Tensor, t: Tensor) -> Tensor:
        """(b, c, x, y, z), (b,), (b,) -> noise (b, 1, x, y, z)."""
        return padded(lambda v: self.unet(v, timesteps=t, class_labels=tracer), x, 4)
