# From BIDS to one memory-mapped dataset per cohort.


rule enroll:
    input:
        bids=bids_dataset,
    output:
        enrolled=paths.enrolled("{cohort}"),
    log:
        paths.log("enroll", "{cohort}"),
    benchmark:
        paths.benchmark("enroll", "{cohort}")
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        **needs("enroll"),
    params:
        # With another number of folds nobody need be enrolled, and so registered, again: `pack`
        # refuses at once what has become too many.
        settings=uncompared(settings("enroll")),
        compared=settings("register"),
        code=code("enroll"),
    message:
        "Listing who of {wildcards.cohort} may be of use"
    shell:
        "CODE={params.code} relad enroll {input.bids:q} {output.enrolled:q} "
        "--cohort {wildcards.cohort} --settings {params.settings:q} > {log:q} 2>&1"


rule register:
    input:
        bids=bids_dataset,
        enrolled=paths.enrolled("{cohort}"),
        labels=own_labels,
    output:
        registered=unless_temporary(
            directory(paths.registered("{cohort}", "{subject}")), STUDY["keep_registered"]
        ),
    log:
        paths.log("register", "{cohort}", "{subject}"),
    benchmark:
        paths.benchmark("register", "{cohort}", "{subject}")
    conda:
        "../../envs/imaging.yaml"
    threads: library_threads("registration")
    resources:
        **needs("register"),
    params:
        settings=settings("register"),
        code=code("register"),
        threads=library_threads("registration"),
    message:
        "Registering {wildcards.cohort} {wildcards.subject}"
    shell:
        "LIBRARY_THREADS={params.threads} CODE={params.code} relad register {input.bids:q} "
        "{output.registered:q} --subject {wildcards.subject} --settings {params.settings:q} "
        "> {log:q} 2>&1"


rule normalize:
    input:
        registered=paths.registered("{cohort}", "{subject}"),
        truth=truth,
    output:
        normalized=directory(paths.normalized("{cohort}", "{subject}")),
    log:
        paths.log("normalize", "{cohort}", "{subject}"),
    benchmark:
        paths.benchmark("normalize", "{cohort}", "{subject}")
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        **needs("normalize"),
    params:
        truth=truth_option,
        settings=settings("normalize"),
        code=code("normalize"),
    message:
        "Resampling {wildcards.cohort} {wildcards.subject} to MNI and SUVR"
    shell:
        "CODE={params.code} relad normalize {input.registered:q} {output.normalized:q} "
        "--subject {wildcards.subject} {params.truth:q} --settings {params.settings:q} > {log:q} 2>&1"


rule qc:
    input:
        normalized=normalized_subjects,
    output:
        paths.quality("{cohort}") / "index.html",
        paths.quality("{cohort}") / "qc.tsv",
        paths.quality("{cohort}") / "subjects.json",
        paths.quality("{cohort}") / "motion.tsv",
        directory(paths.quality("{cohort}") / "pictures"),
    log:
        paths.log("qc", "{cohort}"),
    benchmark:
        paths.benchmark("qc", "{cohort}")
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        **needs("qc"),
    params:
        out=subpath(output[0], parent=True),
        normalized=words("qc", normalized_folders),
        settings=settings("qc"),
        code=code("qc"),
    message:
        "Quality page of {wildcards.cohort}"
    shell:
        "CODE={params.code} relad qc {params.out:q} @{params.normalized:q} "
        "--title {wildcards.cohort} --settings {params.settings:q} > {log:q} 2>&1"


rule pack:
    input:
        normalized=normalized_subjects,
        verdicts=paths.quality("{cohort}") / "subjects.json",
        bids=bids_dataset,
    output:
        packed=directory(paths.packed("{cohort}")),
    log:
        paths.log("pack", "{cohort}"),
    benchmark:
        paths.benchmark("pack", "{cohort}")
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        **needs("pack"),
    params:
        qc=subpath(input.verdicts, parent=True),
        normalized=words("pack", normalized_folders),
        settings=settings("pack"),
        code=code("pack"),
    message:
        "Packing {wildcards.cohort}"
    shell:
        "CODE={params.code} relad pack {output.packed:q} @{params.normalized:q} "
        "--qc {params.qc:q} --bids {input.bids:q} --cohort {wildcards.cohort} "
        "--settings {params.settings:q} > {log:q} 2>&1"
