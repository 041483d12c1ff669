"""The log's rows are means over the updates since the last one, across an interruption too."""

from __future__ import annotations

import pytest
import torch

from relad.errors import ReladError
from relad.training.logs import Log


def of(value: float) -> dict[str, torch.Tensor]:
    return {"l1": torch.tensor(value)}


def test_a_row_is_the_mean_since_the_last_and_comes_each_hundredth_and_at_the_end():
    log, rows = Log("unet", 400), []
    for update in range(1, 401):
        log.add(update, of(float(update)))
        rows.append(log.row(update, 0.5 * update, None))
    assert [row["update"] for row in log.rows] == list(range(4, 401, 4))
    assert [row["l1"] for row in log.rows] == [n - 1.5 for n in range(4, 401, 4)]
    assert [row for row in rows if row] == log.rows
    odd = Log("unet", 301)
    for update in range(1, 302):
        odd.add(update, of(1.0))
        odd.row(update, 0.0, None)
    assert odd.rows[-1]["update"] == 301


def test_a_validation_has_a_row_of_its_own():
    log = Log("unet", 400)
    for update in (1, 2):
        log.add(update, of(float(update)))
        row = log.row(update, 1.0, 30.0 if update == 2 else None)
    assert row == {"update": 2, "seconds": 1.0, "l1": 1.5, "validation_psnr": 30.0}


def test_what_was_not_yet_told_survives_a_checkpoint():
    log = Log("unet", 400)
    for update in (1, 2, 3):
        log.add(update, of(float(update)))
        assert log.row(update, 0.0, None) is None
    other = Log("unet", 400)
    other.load(log.state())
    other.add(4, of(4.0))
    assert other.row(4, 0.0, None)["l1"] == 2.5


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_none_is_named_with_its_update(value):
    log = Log("unet", 400)
    with pytest.raises(ReladError, match=r"'unet': loss 'l1' is (nan|inf) at update 7"):
        log.add(7, of(value))


@pytest.mark.parametrize("name", ["update", "seconds", "validation_psnr"])
def test_a_loss_by_the_name_of_a_column_of_the_logs_own_is_refused(name):
    log = Log("unet", 400)
    with pytest.raises(ReladError, match=f"'unet': a loss is called '{name}', as a column") as told:
        log.add(1, of(1.0) | {name: torch.tensor(2.0)})
    assert "\n" not in str(told.value) and "by another name" in str(told.value)
    log.add(1, of(3.0))
    row = log.row(400, 0.25, 30.0)
    assert row == {"update": 400, "seconds": 0.25, "l1": 3.0, "validation_psnr": 30.0}
