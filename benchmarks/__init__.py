"""What our networks cost and reach, measured against the published release's step in MONAI parts.

=====================  ===========================================================================
``benchmarks.cpu``     cost of a training step and of a synthesised volume on this machine's CPU
``benchmarks.gpu``     the same on a GPU at the paper's size, with agreement checks and a profile
``benchmarks.race``    validation PSNR against wall time and updates: ours and the release's step
=====================  ===========================================================================

Each is one command (``python -m benchmarks.cpu --help``), can be killed and started again, and
writes JSON and Markdown. MONAI is needed here and nowhere else: ``pip install monai einops``.
"""
