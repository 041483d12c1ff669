"""Image similarity: PSNR, SSIM and MAE, on a stated data range and inside a stated mask."""

#: Names of the metrics, in the order of every table.
METRICS = ("psnr", "ssim", "mae")

#: Whether more is better.
HIGHER_IS_BETTER = {"psnr": True, "ssim": True, "mae": False}
