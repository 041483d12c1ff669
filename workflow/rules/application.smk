# Trained models on people without PET: what they made of each, as BIDS derivatives.


rule derivatives:
    input:
        synthesized=paths.synthesized("{cohort}", "{method}", "{fold}", "{seed}"),
        weights=model_file(paths.WEIGHTS),
        record=model_file(paths.TRAINING_RECORD),
        packed=packed_cohort,
        registered=registered_subjects,
        normalized=normalized_subjects,
    output:
        derivatives=directory(paths.derivatives("{cohort}", "{method}", "{fold}", "{seed}")),
    log:
        paths.log("derivatives", "{cohort}", "{method}", "{fold}", "{seed}"),
    benchmark:
        paths.benchmark("derivatives", "{cohort}", "{method}", "{fold}", "{seed}")
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        **needs("derivatives"),
    params:
        model=subpath(input.weights, parent=True),
        registered=str(paths.registered("{cohort}", "").parent),
        normalized=str(paths.normalized("{cohort}", "").parent),
        code=code("derivatives"),
    message:
        "BIDS derivatives of {wildcards.cohort} by {wildcards.method}, fold {wildcards.fold}, seed {wildcards.seed}"
    shell:
        "CODE={params.code} relad derivatives {input.synthesized:q} {output.derivatives:q} "
        "--model {params.model:q} --packed {input.packed:q} --registered {params.registered:q} "
        "--normalized {params.normalized:q} > {log:q} 2>&1"
