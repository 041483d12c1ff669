# Numbers, tables and figures.


rule evaluate:
    input:
        synthesized=paths.synthesized("{cohort}", "{method}", "{fold}", "{seed}"),
        packed=packed_cohort,
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
        **needs("evaluate"),
    params:
        options="",
        settings=settings("evaluate"),
        code=code("evaluate"),
    message:
        "Evaluating {wildcards.method} on {wildcards.cohort}, fold {wildcards.fold}, seed {wildcards.seed}"
    shell:
        "CODE={params.code} relad evaluate {input.synthesized:q} {output.metrics:q} "
        "--packed {input.packed:q} {params.options} --settings {params.settings:q} > {log:q} 2>&1"


use rule evaluate as evaluate_sampler with:
    input:
        synthesized=paths.sampled("{cohort}", "{method}", "{sampler}", "{fold}", "{seed}"),
        packed=packed_cohort,
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
    params:
        options="--image-only",  # one sample is a sampling of its own
        settings=settings("evaluate"),
        code=code("evaluate"),
    message:
        "Evaluating {wildcards.sampler} of {wildcards.method} on {wildcards.cohort}, fold {wildcards.fold}, seed {wildcards.seed}"


rule ceiling:
    input:
        packed=packed_cohort,
    output:
        metrics=paths.ceiling("{cohort}"),
        record=paths.ceiling("{cohort}").with_suffix(".json"),
    log:
        paths.log("ceiling", "{cohort}"),
    benchmark:
        paths.benchmark("ceiling", "{cohort}")
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        **needs("ceiling"),
    params:
        settings=settings("ceiling"),
        code=code("ceiling"),
    message:
        "Ceiling of {wildcards.cohort}"
    shell:
        "CODE={params.code} relad ceiling {input.packed:q} {output.metrics:q} "
        "--settings {params.settings:q} > {log:q} 2>&1"


rule tables:
    input:
        unpack(results_of("tables")),
    output:
        report(
            made(catalogue.TABLE)[0],
            caption="../report/result.rst",
            category="Tables",
            labels={"table": "{name}"},
        ),
        made(catalogue.TABLE)[1:],
    log:
        paths.log("tables", "{name}"),
    benchmark:
        paths.benchmark("tables", "{name}")
    wildcard_constraints:
        name="|".join(RESULTS["tables"]),
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        **needs("tables"),
    params:
        out=subpath(output[0], parent=True),
        made_of=words("tables", made_of),
        caption=caption,
        settings=settings("tables"),
        code=code("tables"),
    message:
        "Table {wildcards.name}"
    shell:
        "CODE={params.code} relad tables @{params.made_of:q} --only {wildcards.name} "
        "--out {params.out:q} --settings {params.settings:q} > {log:q} 2>&1"


rule figures:
    input:
        unpack(results_of("figures")),
    output:
        report(
            made(catalogue.FIGURE)[0],
            caption="../report/result.rst",
            category="Figures",
            labels={"figure": "{name}"},
        ),
        made(catalogue.FIGURE)[1:],
    log:
        paths.log("figures", "{name}"),
    benchmark:
        paths.benchmark("figures", "{name}")
    wildcard_constraints:
        name="|".join(RESULTS["figures"]),
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        **needs("figures"),
    params:
        out=subpath(output[0], parent=True),
        made_of=words("figures", made_of),
        caption=caption,
        settings=settings("figures"),
        code=code("figures"),
    message:
        "Figure {wildcards.name}"
    shell:
        "CODE={params.code} relad figures @{params.made_of:q} --only {wildcards.name} "
        "--out {params.out:q} --settings {params.settings:q} > {log:q} 2>&1"


rule report:
    input:
        results=all_results(),
        quality=all_quality(),
    output:
        report=paths.report(),
    log:
        paths.log("report"),
    benchmark:
        paths.benchmark("report")
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        **needs("report"),
    params:
        shown=words("report", shown_results),
        code=code("report"),
    message:
        "The study on one page"
    shell:
        "CODE={params.code} relad report {output.report:q} @{params.shown:q} > {log:q} 2>&1"


rule paper:
    input:
        results=all_results(),
    output:
        paper=paths.paper() / "paper.tex",
        parts=[
            paths.paper() / f"{part}.tex" for part in ("numbers", "verdict", "methods", "results")
        ],
        references=paths.paper() / "references.bib",
    log:
        paths.log("paper"),
    benchmark:
        paths.benchmark("paper")
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        **needs("paper"),
    params:
        out=subpath(output.paper, parent=True),
        shown=words("paper", first_forms),
        code=code("paper"),
    message:
        "Skeleton of the paper"
    shell:
        "CODE={params.code} relad paper {params.out:q} @{params.shown:q} > {log:q} 2>&1"
