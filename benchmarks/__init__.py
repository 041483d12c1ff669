"""What the project's parts cost and reach, measured by commands that anyone can run.

============================  ====================================================================
``benchmarks.adversary``      what the adversary of each training did, from the trainings' own
                              logs, as a Markdown table
``benchmarks.alone``          run one contestant in this process and print the process's peak
                              memory in MB
``benchmarks.bands``          at which scale samples err, and at which they spread
``benchmarks.condensed``      metrics of many trainings in few rows: a mean over subjects and
                              tracers, and what seeds change
``benchmarks.cpu``            cost of training and sampling on this machine's CPU, against the
                              release's step in MONAI parts
``benchmarks.dependence``     what a trained model's images depend on: the tracer, each MRI, its
                              noise
``benchmarks.dressed``        what samples tell beyond an image that is given its method's
                              usual error
``benchmarks.evidence``       what metrics, tables, figures and page of many people and
                              methods cost, from synthetic PET
``benchmarks.gpu``            agreement, cost and profile of the methods on a GPU at the paper's
                              size
``benchmarks.heads``          real heads through preprocessing: who is kept, how right it is,
                              and what must not get through
``benchmarks.motion``         how far realignment finds the motion of PET frames, against the
                              truth of simulated scans
``benchmarks.overfit``        whether each method can learn one pair by heart: updates until its
                              PSNR exceeds a limit
``benchmarks.preprocessing``  time of preprocessing one person against plain registration calls
                              for the same images
``benchmarks.quality``        how far the limits of quality tell FLAIR and PET that lie right
                              from those that do not
``benchmarks.race``           validation PSNR against wall time and against updates: `rela` and
                              the release's step
``benchmarks.references``     what the place of an atlas reference region does to SUVR, on
                              people whose truth is known
``benchmarks.resources``      how far what jobs are said to need is from what jobs of finished
                              studies needed
``benchmarks.robustness``     how a model's numbers change with a misplaced PET, noisy MRI, or
                              without the FLAIR
``benchmarks.scale``          what a thousand people cost: planning, disk, the workflow's own
                              time, and a run on a cluster
``benchmarks.temperature``    how sure samples of a model are of people it has not seen, at
                              several temperatures
============================  ====================================================================

``python -m benchmarks.cpu --help`` says what each writes. cpu, gpu and race can be killed and
started again. MONAI (with einops) is needed by the release's step and nowhere else.
"""
