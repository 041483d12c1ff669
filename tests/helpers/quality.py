"""What is measured of a head and of a PET with which nothing is wrong."""

GOOD = {
    "brain_volume_ml": 1400.0,
    "brain_overlap_dice": 0.95,
    "T1w_registration": 0.9,
    "T1w_margin": 0.05,
    "T1w_half_turn": -0.3,
    "T1w_coverage": 1.0,
    "FLAIR_registration": 0.8,
    "FLAIR_margin": 0.05,
    "FLAIR_coverage": 1.0,
}
GOOD_PET = {
    "registration": 0.9,
    "margin": 0.05,
    "detail": 0.03,
    "coverage": 1.0,
    "motion_mm": 1.0,
    "reference_mean": 1000.0,
    "reference_sd": 200.0,
    "reference_coverage": 1.0,
    "reference_fit": 0.95,
}
#: What is said of a brain of 500 ml.
SMALL = (
    "brain volume 500 ml is outside 800 to 2200 ml (look at the mask's outline and at the voxel "
    "size in the header)"
)
