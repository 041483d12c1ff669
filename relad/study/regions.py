"""Names of the regions of the atlas (relad.imaging.atlas), which configurations are held to."""

from __future__ import annotations

#: Label of every region in :func:`relad.imaging.atlas.region_labels`. Cortex first, then deep grey,
#: then the rest.
REGIONS: dict[str, int] = {
    "medial_temporal": 1,
    "lateral_temporal": 2,
    "frontal": 3,
    "anterior_cingulate": 4,
    "posterior_cingulate_precuneus": 5,
    "parietal": 6,
    "occipital": 7,
    "sensorimotor": 8,
    "hippocampus": 9,
    "amygdala": 10,
    "basal_ganglia": 11,
    "thalamus": 12,
    "cerebral_white": 13,
    "superior_cerebellar_grey": 14,
    "inferior_cerebellar_grey": 15,
    "cerebellar_white": 16,
    "brainstem": 17,
}

#: Reference regions a tracer may name in the configuration, as unions of :data:`REGIONS`.
REFERENCE_REGIONS: dict[str, tuple[str, ...]] = {
    "inferior_cerebellar_grey": ("inferior_cerebellar_grey",),
    "cerebellar_grey": ("superior_cerebellar_grey", "inferior_cerebellar_grey"),
    "whole_cerebellum": (
        "superior_cerebellar_grey",
        "inferior_cerebellar_grey",
        "cerebellar_white",
    ),
    "cerebral_white": ("cerebral_white",),
}

#: Regions of the evaluation that are unions of :data:`REGIONS`; their SUVR is the mean over the
#: voxels of all parts. The atlas is coarse, so each is like its namesake and not equal to it:
#:
#: ``cortex``: all cortical lobes.
#: ``braak_1_3``, ``braak_4``, ``braak_5_6``: as tau spreads (Braak et al., Acta Neuropathologica
#: 112, 2006; as regions of PET: Schoell et al., Neuron 89, 2016). The hippocampus takes spill-in
#: from the choroid plexus, which binds flortaucipir.
#: ``temporal_meta``: entorhinal, parahippocampal and fusiform cortex, amygdala, middle and inferior
#: temporal gyrus (Jack et al., Alzheimer's & Dementia 13, 2017); here the superior one too.
#: ``amyloid_cortex``: frontal, cingulate, lateral parietal and lateral temporal cortex (Landau et
#: al., Annals of Neurology 72, 2012); here all of the parietal lobe, and the precuneus.
COMPOSITES: dict[str, tuple[str, ...]] = {
    "cortex": tuple(name for name, label in REGIONS.items() if label <= REGIONS["sensorimotor"]),
    "braak_1_3": ("medial_temporal", "hippocampus", "amygdala"),
    "braak_4": ("lateral_temporal", "anterior_cingulate", "posterior_cingulate_precuneus"),
    "braak_5_6": ("frontal", "parietal", "occipital", "sensorimotor"),
    "temporal_meta": ("medial_temporal", "amygdala", "lateral_temporal"),
    "amyloid_cortex": (
        "frontal",
        "anterior_cingulate",
        "posterior_cingulate_precuneus",
        "parietal",
        "lateral_temporal",
    ),
}
