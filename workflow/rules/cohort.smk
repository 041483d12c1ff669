# Where scans come from: a simulated download, and any download turned into BIDS.


rule phantom:
    input:
        heads=head_files,
    output:
        raw=directory(paths.raw("{cohort}")),
    log:
        paths.log("phantom", "{cohort}"),
    benchmark:
        paths.benchmark("phantom", "{cohort}")
    wildcard_constraints:
        cohort=cohorts_from("phantom"),
    conda:
        "../../envs/imaging.yaml"
    threads: 4
    resources:
        **needs("phantom"),
    params:
        settings=settings("phantom"),
        code=code("phantom"),
    message:
        "Simulating the scans of {wildcards.cohort}"
    shell:
        "CODE={params.code} relad phantom {output.raw:q} --cohort {wildcards.cohort} "
        "--jobs {threads} --settings {params.settings:q} > {log:q} 2>&1"


rule ingest:
    input:
        scans=raw_scans,
        beside=ingest_files,
    output:
        bids=directory(paths.bids("{cohort}")),
    log:
        paths.log("ingest", "{cohort}"),
    benchmark:
        paths.benchmark("ingest", "{cohort}")
    conda:
        "../../envs/imaging.yaml"
    threads: 4
    resources:
        **needs("ingest"),
    params:
        options=ingest_options,
        settings=settings("ingest"),
        code=code("ingest"),
    message:
        "Turning the scans of {wildcards.cohort} into BIDS"
    shell:
        "CODE={params.code} relad ingest {input.scans:q} {output.bids:q} {params.options:q} "
        "--jobs {threads} --settings {params.settings:q} > {log:q} 2>&1"
