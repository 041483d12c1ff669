# Parameters of the methods, searched on validation subjects; no part of `all`.


rule search:
    input:
        packed=packed(TRAINING_COHORT),
    output:
        # Files, not their folder: trials that are done must survive a killed job, see `train`.
        trials=paths.search("{method}", "{fold}") / "trials.csv",
        tuned=paths.search("{method}", "{fold}") / "tuned.yaml",
        record=paths.search("{method}", "{fold}") / "search.json",
    log:
        paths.log("search", "{method}", "{fold}"),
    benchmark:
        paths.benchmark("search", "{method}", "{fold}")
    conda:
        "../../envs/torch.yaml"
    threads: library_threads("training")
    resources:
        **needs("search"),
    params:
        folder=subpath(output.record, parent=True),
        settings=settings("search"),
        code=code("search"),
        threads=library_threads("training"),
    message:
        "Searching parameters of {wildcards.method}, fold {wildcards.fold}"
    shell:
        "LIBRARY_THREADS={params.threads} CODE={params.code} relad search {input.packed:q} "
        "{params.folder:q} --method {wildcards.method} --fold {wildcards.fold} "
        "--settings {params.settings:q} > {log:q} 2>&1"


rule tune:
    input:
        searches=all_searches(),
    output:
        tuned=paths.tuning() / "tuned.yaml",
        provenance=paths.tuning() / "tuned.json",
        table=paths.tuning() / "tuning.csv",
    log:
        paths.log("tune"),
    benchmark:
        paths.benchmark("tune")
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        **needs("tune"),
    params:
        folders=[Path(file).parent for file in all_searches()],
        out=subpath(output.tuned, parent=True),
        settings=settings("tune"),
        code=code("tune"),
    message:
        "Putting the searches together"
    shell:
        "CODE={params.code} relad tune {params.folders:q} --out {params.out:q} "
        "--settings {params.settings:q} > {log:q} 2>&1"
