# Numbers, tables and figures.


rule evaluate:
    input:
        synthesized=paths.synthesized("{cohort}", "{method}", "{fold}", "{seed}"),
        packed=paths.packed("{cohort}"),
    output:
        metrics=paths.evaluated("{cohort}", "{method}", "{fold}", "{seed}"),
        record=paths.evaluated("{cohort}", "{method}", "{fold}", "{seed}").with_suffix(".json"),
    log:
        paths.log("evaluate", "{cohort}", "{method}", "{fold}", "{seed}"),
    benchmark:
        paths.benchmark("evaluate", "{cohort}", "{method}", "{fold}", "{seed}")
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=240,
    params:
        settings=settings("evaluate"),
        code=code("evaluate"),
    message:
        "Evaluating {wildcards.method} on {wildcards.cohort}, fold {wildcards.fold}, seed {wildcards.seed}"
    shell:
        "relad evaluate {input.synthesized:q} {output.metrics:q} --packed {input.packed:q} "
        "--settings {params.settings:q} > {log:q} 2>&1"


use rule evaluate as evaluate_sampler with:
    input:
        synthesized=paths.sampled("{cohort}", "{method}", "{sampler}", "{fold}", "{seed}"),
        packed=paths.packed("{cohort}"),
    output:
        metrics=paths.sampled("{cohort}", "{method}", "{sampler}", "{fold}", "{seed}").with_suffix(
            ".csv"
        ),
        record=paths.sampled("{cohort}", "{method}", "{sampler}", "{fold}", "{seed}").with_suffix(
            ".json"
        ),
    log:
        paths.log("evaluate", "{cohort}", "{method}", "{sampler}", "{fold}", "{seed}"),
    benchmark:
        paths.benchmark("evaluate", "{cohort}", "{method}", "{sampler}", "{fold}", "{seed}")
    message:
        "Evaluating {wildcards.sampler} of {wildcards.method} on {wildcards.cohort}, fold {wildcards.fold}, seed {wildcards.seed}"


rule tables:
    input:
        unpack(results_of(TABLES)),
    output:
        report(
            paths.table("{name}", "csv"),
            caption="../report/tables.rst",
            category="Tables",
            labels={"table": "{name}"},
        ),
        paths.table("{name}", "tex"),
        paths.table("{name}", "md"),
    log:
        paths.log("tables", "{name}"),
    benchmark:
        paths.benchmark("tables", "{name}")
    wildcard_constraints:
        name="|".join(TABLES),
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=60,
    params:
        out=subpath(output[0], parent=True),
        models=folders("models"),
        settings=settings("tables"),
        code=code("tables"),
    message:
        "Table {wildcards.name}"
    shell:
        "relad tables {input.metrics:q} --models {params.models:q} "
        "--synthesized {input.synthesized:q} --only {wildcards.name} --out {params.out:q} "
        "--settings {params.settings:q} > {log:q} 2>&1"


rule figures:
    input:
        unpack(results_of(FIGURES)),
    output:
        report(
            paths.figure("{name}", "png"),
            caption="../report/figures.rst",
            category="Figures",
            labels={"figure": "{name}"},
        ),
        paths.figure("{name}", "pdf"),
    log:
        paths.log("figures", "{name}"),
    benchmark:
        paths.benchmark("figures", "{name}")
    wildcard_constraints:
        name="|".join(FIGURES),
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=60,
    params:
        out=subpath(output[0], parent=True),
        models=folders("models"),
        settings=settings("figures"),
        code=code("figures"),
    message:
        "Figure {wildcards.name}"
    shell:
        "relad figures {input.metrics:q} --models {params.models:q} "
        "--synthesized {input.synthesized:q} --packed {input.packed:q} --only {wildcards.name} "
        "--out {params.out:q} --settings {params.settings:q} > {log:q} 2>&1"
