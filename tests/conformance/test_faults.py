"""Every planted fault is caught by the check meant for it, in the right words, and by no other."""

from __future__ import annotations

from dataclasses import replace

import pytest

from relad.conformance import CHECKS, Outcome, Status, examine, words_of
from relad.study.settings import TrainedMethod, TrainSettings
from tests.conformance import faults
from tests.helpers.settings import of

#: Faulty class -> the check that fails, and words of what it says.
FAULTS = {
    "NoMethod": ("builds", "NoMethod"),
    "GraphInTheLog": ("trains", "voxel_mean: loss 'l1' is not detached"),
    "LogsSeconds": (
        "trains",
        "voxel_mean: a loss is called 'seconds', as a column of the log's own",
    ),
    "DeadLayer": (
        "learns",
        "no gradient ever reaches generator.unused.weight, ",
    ),
    "OwnSteps": ("descends", "gradients of optimizer 'generator' are not averaged over processes"),
    "EarlyOwnSteps": (
        "descends",
        "gradients of optimizer 'generator' are not averaged over processes",
    ),
    "Unlimited": ("descends", "passes the limit 1e-06 at 'generator'"),
    "TenSteps": ("descends", "optimizer 'generator' takes 10 steps in an update, not 1"),
    "OwnRate": ("descends", "the generator changes though every learning rate is 0"),
    "Scheduled": ("optimizers", "optimizer 'generator' has a scheduler"),
    "HeldTwice": (
        "optimizers",
        "optimizers 'generator' and 'discriminator' both hold generator.last.weight",
    ),
    "WarmsUp": ("resumes", "count of the method is another at the end than in an unbroken"),
    "KeepsAPool": ("resumes", "pool of the method is another at the end than in an unbroken"),
    "LeavesTraining": ("leaves", "synthesis changes the mode (train, eval) of generator"),
    "LeavesEvaluation": ("leaves", "an update changes the mode (train, eval) of generator"),
    "CountsInside": ("resumes", "seen of the method is another at the end than in an unbroken"),
    "ReturnsTwo": ("images", "voxel_mean, ddpm: synthesize returns a tuple"),
    "HiddenOptimizer": ("descends", "a SGD outside of optimizers takes a step"),
    "ByHand": ("descends", "the generator changes without a step of any optimizer"),
    "StandsStill": ("learns", "8 updates leave the generator as it was"),
    "CountsWhatNoPetShows": (
        "field_of_view",
        "voxel_mean: a loss depends on images where their PET shows nothing",
    ),
    "AveragesWhatNoPetShows": (
        "field_of_view",
        "voxel_mean: what PET holds where it shows nothing is learnt",
    ),
    "EarlyCountsWhatNoPetShows": (
        "field_of_view",
        "voxel_mean: a loss depends on images where their PET shows nothing",
    ),
    "LateSumsLosses": ("shares", "and is 0.5 times as large"),
    "AtLastSumsLosses": ("shares", "and is 0.5 times as large"),
    "SumsLosses": ("shares", "and is 0.5 times as large"),
    "NotTwiceTheSame": ("repeats", "after 5 updates two trainings of one seed differ"),
    "OrderOfASet": ("repeats", "after 2 updates a training in a process of its own differs"),
    "Forgets": ("resumes", "the method differs at the end from that of an unbroken training"),
    "Alternates": ("resumes", "the method differs at the end from that of an unbroken training"),
    "EveryFourth": ("resumes", "the method differs at the end from that of an unbroken training"),
    "KeepsTheLastPet": ("reloads", "voxel_mean: images of the saved model, made in"),
    "OtherName": ("reloads", "voxel_mean: images of the saved model, made in"),
    "KeepsAGraph": ("images", "voxel_mean, ddpm: the image carries a gradient"),
    "NeedsEvenSizes": ("odd_sizes", "Error: "),
    "MultiplesOfSixteen": ("odd_sizes", "29 x 54 x 31: RuntimeError: "),
    "SqueezesTheBatch": ("one_volume", "Error: "),
    "NeedsBothMri": ("one_mri", "window: T1w alone: IndexError: "),
    "NeedsTwoTracers": ("one_tracer", "voxel_mean: one tracer: RuntimeError: "),
    "Climbs": ("fits", "72 updates on a pair leave its image with an error of"),
    "Dawdles": ("fits", " (less than before: too slow?)"),
    "LearnsTheMirrored": ("fits", "72 updates on a pair leave its image with an error of"),
    "MirrorsWhatItDraws": ("fits", "leave its image nearer to PET mirrored along axis 0 than to"),
    "OtherUnitsByScaling": (
        "fits",
        "window: 72 updates on a pair leave its image with an",
    ),
    "CropsFromTheStart": (
        "in_place",
        "an image of 13 x 22 x 15 voxels is nearer to its PET when it is moved by -1, -1, 0",
    ),
    "OtherUnits": ("fits", "72 updates on a pair leave its image with an error of"),
    "FrozenAdversary": ("optimizers", "optimizer 'discriminator' takes no step in 8 updates"),
    "InNoOptimizer": ("optimizers", "no optimizer holds generator.last.weight"),
    "RemembersOnItsClass": ("reloads", "made in a process of its own, are off by"),
    "RunningRange": ("history", "voxel_mean: an image differs after others were made"),
    "ReturnsOneBuffer": ("history", "an image that was returned changes with the next"),
    "RunsTwice": ("evaluations", "by ddpm-3 the generator runs 6 times, not 3"),
    "RunsInParts": ("evaluations", "by ddpm-3 a part of the generator runs 5 times, not 1"),
    "NameUntold": ("evaluations", "the name 'forward', which stands for 1"),
    "NamePromises": ("names", "'ddpm-5' and 'euler-5' are the same image"),
    "LeavesGradientsOff": ("leaves", "synthesis changes whether gradients are computed"),
    "SeedsForAll": ("global_random", "global random state of PyTorch is another afterwards"),
    "OwnMoments": ("shares", "generator.mean is another in two processes than in one"),
    "KeepsWhatItPrepared": ("resumes", "(faults.py:"),
    "DividesByNothing": ("new_tracer", "voxel_mean: not finite in the brain"),
    "TracerLost": ("tracer", "voxel_mean: the other tracer changes the image by"),
    "FlairLost": ("mri", "voxel_mean: another person's FLAIR changes the image by 0 of its sd"),
    "FloorThatLooks": ("mri", "T1w changes the image, though reads_mri is False"),
    "NoiseDeclaredOnly": ("noise", "by 0 of its sd (at least 0.001), though stochastic is True"),
    "NoiseUndeclared": ("noise", "though stochastic is False"),
    "TimeLost": ("time", "no argument of the generator changes from step to step"),
    "TimeIgnored": ("time", "another time changes the network's output by 0 of its sd"),
    "EmbeddingIgnored": (
        "time",
        "output by 0 of its sd (at least 0.0001), told as argument number 3",
    ),
    "ChannelIgnored": ("time", "told as channel 2 of argument number 1 of network"),
    "TimeScalesAlone": (
        "time",
        "by 0 of its sd (at least 0.0001), told as argument number 3 of network",
    ),
    "TimeScalesAround": ("time", "another time changes the network's output by 0 of its sd"),
    "EvaluationsUntold": (
        "evaluations",
        "by ddpm-3 it tells 6 evaluations, and the name 'euler-3'",
    ),
    "Peeks": ("target", "the image changes where the true PET is passed along"),
    "MasksAsInput": ("outline", "with a mask one voxel narrower the image inside changes by"),
    "MixesTheBatch": ("neighbours", "voxel_mean: alone an image differs by"),
    "SharesNoise": ("neighbours", "voxel_mean: alone an image differs by"),
    "ChangesItsBatch": ("history", "voxel_mean: mri of the batch is changed in place"),
    "GlobalNoise": ("global_random", "updates change with the global seed"),
}


def settings(name: str) -> TrainSettings:
    entry = TrainedMethod(f"{faults.__name__}:{name}", ("T1w", "FLAIR"), {}, None)
    return replace(of(TrainSettings), methods={name: entry})


def failed(name: str) -> list[Outcome]:
    return [o for o in examine(name, settings(name)) if o.status is Status.FAILED]


@pytest.mark.parametrize(
    "name",
    [
        "Sound",
        "SoundInParts",
        "SoundDeep",
        "SoundDiffusion",
        "SoundEmbedded",
        "SoundChannel",
        "SoundClosedForm",
        "SoundStandardised",
    ],
)
def test_nothing_is_found_where_nothing_is_wrong(name: str) -> None:
    assert failed(name) == []


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_named(name: str) -> None:
    check, said = FAULTS[name]
    found = failed(name)
    assert [outcome.check for outcome in found] == [check], [str(outcome) for outcome in found]
    assert said in found[0].told
    (remedy,) = [words_of(c)[1] for c in CHECKS if c.__name__ == check]
    assert found[0].told.endswith(f" -- {remedy}") and "\n" not in str(found[0])


def test_an_error_that_no_check_is_about_is_told_with_its_place_alone() -> None:
    (found,) = failed("RaisesByTracer")
    assert found.check == "history"
    line = found.told.removeprefix("KeyError: 'bright' (faults.py:").removesuffix(")")
    assert line.isdigit(), found.told


def test_a_method_that_ends_python_ends_no_check() -> None:
    """Nor is the exit status 0 that of a method in which nothing is wrong."""
    (found,) = failed("EndsPython")
    assert found.check == "trains" and found.told.startswith("SystemExit: 0 (faults.py:")


def test_every_check_catches_something_and_says_what_to_do() -> None:
    caught = {check for check, _ in FAULTS.values()}
    assert caught == {check.__name__ for check in CHECKS} - {"cuda"}
    for check in CHECKS:
        holds, remedy = words_of(check)
        assert holds and len(remedy) > 60, check.__name__
