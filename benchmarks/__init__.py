"""What the project's parts cost and reach, measured by commands that anyone can run.

============================  ====================================================================
``benchmarks.cpu``            a training step and a synthesised volume on this machine's CPU,
                              against the published release's step in MONAI parts
``benchmarks.gpu``            the same on a GPU at the paper's size, with agreement and a profile
``benchmarks.race``           validation PSNR against wall time and updates: `rela` and the
                              release's step
``benchmarks.preprocessing``  preprocessing one person against plain registration calls
``benchmarks.resources``      memory and time of a finished study's jobs against what they ask for
============================  ====================================================================

``python -m benchmarks.cpu --help`` says what each writes. cpu, gpu and race can be killed and
started again. MONAI (with einops) is needed by the release's step and nowhere else.
"""
