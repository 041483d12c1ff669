# Training and synthesis; nothing here names a method.


rule train:
    input:
        packed=packed(TRAINING_COHORT),
    output:
        # Files, not their folder: Snakemake empties the outputs of a killed job, and the checkpoint
        # beside them must survive for the training to resume.
        weights=paths.model("{method}", "{fold}", "{seed}") / paths.WEIGHTS,
        losses=paths.model("{method}", "{fold}", "{seed}") / paths.TRAINING_LOG,
        record=paths.model("{method}", "{fold}", "{seed}") / paths.TRAINING_RECORD,
    log:
        paths.log("train", "{method}", "{fold}", "{seed}"),
    benchmark:
        paths.benchmark("train", "{method}", "{fold}", "{seed}")
    conda:
        "../../envs/torch.yaml"
    threads: library_threads("training") * training_processes()
    resources:
        **needs("train"),
    params:
        folder=subpath(output.weights, parent=True),
        settings=settings("train"),
        code=code("train"),
        threads=library_threads("training"),
        tasks=tasks,
    message:
        "Training {wildcards.method}, fold {wildcards.fold}, seed {wildcards.seed}"
    shell:
        "LIBRARY_THREADS={params.threads} RELAD_TASKS={params.tasks:q} "
        "CODE={params.code} relad train {input.packed:q} {params.folder:q} --method {wildcards.method} --fold {wildcards.fold} "
        "--seed {wildcards.seed} --settings {params.settings:q} > {log:q} 2>&1"


rule synthesize:
    input:
        weights=model_file(paths.WEIGHTS),
        record=model_file(paths.TRAINING_RECORD),
        packed=packed_cohort,
    output:
        synthesized=directory(paths.synthesized("{cohort}", "{method}", "{fold}", "{seed}")),
    log:
        paths.log("synthesize", "{cohort}", "{method}", "{fold}", "{seed}"),
    benchmark:
        paths.benchmark("synthesize", "{cohort}", "{method}", "{fold}", "{seed}")
    conda:
        "../../envs/torch.yaml"
    threads: library_threads("sampling")
    resources:
        **needs("synthesize"),
    params:
        model=subpath(input.weights, parent=True),
        settings=settings("synthesize"),
        code=code("synthesize"),
        threads=library_threads("sampling"),
    message:
        "Synthesising PET of {wildcards.cohort} with {wildcards.method}, fold {wildcards.fold}, seed {wildcards.seed}"
    shell:
        "LIBRARY_THREADS={params.threads} CODE={params.code} relad synthesize {params.model:q} "
        "{input.packed:q} {output.synthesized:q} --method {wildcards.method} "
        "--settings {params.settings:q} > {log:q} 2>&1"


# The sampler study: the same step for one of its samplings. Thousands of images, so they go when
# they are evaluated.
use rule synthesize as synthesize_sampler with:
    output:
        synthesized=temp(
            directory(paths.sampled("{cohort}", "{method}", "{sampler}", "{fold}", "{seed}"))
        ),
    log:
        paths.log("synthesize", "{cohort}", "{method}", "{sampler}", "{fold}", "{seed}"),
    benchmark:
        paths.benchmark("synthesize", "{cohort}", "{method}", "{sampler}", "{fold}", "{seed}")
    params:
        model=subpath(input.weights, parent=True),
        settings=settings("synthesize", sampling=sampling_of, methods=no_sampling_of_its_own),
        code=code("synthesize"),
        threads=library_threads("sampling"),
    message:
        "Sampling {wildcards.cohort} with {wildcards.method} by {wildcards.sampler}, fold {wildcards.fold}, seed {wildcards.seed}"
