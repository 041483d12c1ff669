from __future__ import annotations

from benchmarks import adversary
from relad.fileio import write_json, write_table


def folder(path, rows):
    path.mkdir()
    write_json(path / "train.json", {"method": "rela", "counts": {"updates": 8}})
    write_table(path / "log.csv", rows, list(dict.fromkeys(k for row in rows for k in row)))
    return str(path)


def test_the_table_tells_what_the_adversary_did(tmp_path, capsys):
    rows = [{"update": i, "denoising": i} for i in (1, 2)]
    for i, ratio in zip(range(3, 9), (1.0, 5.0, 3.0, 0.1, 0.3, 0.2), strict=True):
        rows.append(
            {
                "update": i,
                "denoising": i,
                "discriminator": 10 * i,
                "adversarial": 0.5,
                "discriminator_accuracy": 0.8,
                "adversarial_share": 0.25 * (i > 6),
                "penalty_ratio": ratio,
                "validation_psnr": {4: 21.0, 6: 23.456, 8: 22.0}.get(i),
            }
        )
    assert adversary.main([folder(tmp_path / "rela", rows)]) == 0
    names, _, values = capsys.readouterr().out.splitlines()
    cells = [cell.strip() for cell in values.strip("|").split("|")]
    assert cells == ["rela", "8", "3", "0.2", "75", "0.8", "0.25", "0.5", "7.5", "23.46", "6"]
    assert names.startswith("| training | updates | penalty / L_D, first half |")


def test_a_training_without_adversary_is_named(tmp_path, capsys):
    rows = [{"update": 8, "denoising": 1.0}]
    assert adversary.main([folder(tmp_path / "ddpm", rows)]) == 2
    assert "ddpm" in capsys.readouterr().err
