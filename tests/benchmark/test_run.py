"""The benchmark from drawing to its page: kept pieces, equal results, and what it refuses."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from dgccl.benchmark.bank import BankPlan, draw_bank
from dgccl.benchmark.jobs import BEGUN, JobBanks, bank_plans, begin_job
from dgccl.benchmark.run import run_benchmark
from dgccl.benchmark.settings import BenchmarkConfig
from dgccl.dataset import sample_planes, stack_images
from dgccl.errors import CohortError, ConfigError
from dgccl.phantom.dicom import sample_cohort
from dgccl.phantom.memory import draw_lesions, lesion_table
from dgccl.report.benchmark_page import benchmark_markdown, draw_curves


def plan(benchmark: BenchmarkConfig, **changes: object) -> BankPlan:
    base = bank_plans(benchmark, 1)["test"]
    return BankPlan(**{**vars(base), "lesions": 3, **changes})


def test_a_bank_holds_the_planes_of_its_lesions(small: BenchmarkConfig, tmp_path: Path) -> None:
    asked = plan(small)
    bank = draw_bank(tmp_path / "bank", asked, workers=1)
    cohort = sample_cohort(3, asked.seed)
    pd.testing.assert_frame_equal(bank.lesions, cohort)
    arrays = list(draw_lesions(cohort, asked.seed, range(3)))
    images = stack_images(
        arrays,
        lesion_table(cohort),
        modalities=small.experiment.images,
        quantities={"ct": "hu", "pet": "suv_bw"},
    )
    planes = sample_planes(images, torch.arange(3), modalities=small.experiment.images)
    everyone = torch.arange(3)
    shown = torch.ones(3, 2, dtype=torch.bool)
    found = bank.inputs(everyone, shown=shown, device=torch.device("cpu"))
    for name, values in planes.items():
        torch.testing.assert_close(found[name], values, atol=6e-4, rtol=0)  # float16 on disk
    turned = bank.inputs(everyone, shown=shown, device=torch.device("cpu"), pose=1)
    assert (turned["ct"] - found["ct"]).abs().max() > 0.05


def test_a_killed_drawing_goes_on(small: BenchmarkConfig, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("dgccl.benchmark.bank.CHUNK", 2)
    asked = plan(small)
    whole = draw_bank(tmp_path / "whole", asked, workers=1)
    draw_bank(tmp_path / "killed", asked, workers=1)
    (tmp_path / "killed" / "drawn" / "2").unlink()
    stored = np.load(tmp_path / "killed" / "ct.npy", mmap_mode="r+")
    stored[2:] = 0
    stored.flush()
    seen = []
    again = draw_bank(tmp_path / "killed", asked, workers=1, progress=lambda *args: seen.append(args))
    assert seen == [("Drawing killed", 3, 3)]  # the lost chunk alone
    for name in whole.planes:
        assert np.array_equal(whole.planes[name], again.planes[name])


def test_a_bank_of_other_settings_is_refused(small: BenchmarkConfig, tmp_path: Path) -> None:
    draw_bank(tmp_path / "bank", plan(small), workers=1)
    with pytest.raises(CohortError) as caught:
        draw_bank(tmp_path / "bank", plan(small, poses=1), workers=1)
    assert caught.value.code == "bank_of_other_settings"


def test_suv_must_be_named(small: BenchmarkConfig, tmp_path: Path) -> None:
    modalities = dict(small.experiment.modalities)
    modalities["pet"] = modalities["pet"].model_copy(update={"quantity": "suv"})
    experiment = small.experiment.model_copy(update={"modalities": modalities})
    with pytest.raises(CohortError) as caught:
        draw_bank(tmp_path / "bank", plan(small, config=experiment), workers=1)
    assert caught.value.code == "quantity_ambiguous"


@pytest.fixture(scope="module")
def finished(small: BenchmarkConfig, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A whole small benchmark; the folder of its pieces, and its results as text."""
    work = tmp_path_factory.mktemp("benchmark")
    found = run_benchmark(small, work, command="test", workers=1, device="cpu")
    assert found is not None
    return work, found[0].to_json()


def test_every_method_has_its_row(small: BenchmarkConfig, finished: tuple[Path, str]) -> None:
    results = json.loads(finished[1])
    assert results["meta"]["data_kind"] == "phantom"
    rows = {(row["method"], row["pattern"]) for row in results["rows"]}
    for method in small.methods:
        patterns = ("ct+pet", "ct", "pet")
        if method.model.startswith("single_"):
            patterns = tuple(p for p in patterns if method.model.removeprefix("single_") in p)
        assert {(method.name, pattern) for pattern in patterns} <= rows
    assert all(0.0 <= row["auroc"]["estimate"] <= 1.0 for row in results["rows"])
    assert all(cost["flops"] == sum(cost["flops_by_part"].values()) for cost in results["costs"])


def test_finished_jobs_are_kept_and_lost_ones_come_out_the_same(
    small: BenchmarkConfig, finished: tuple[Path, str], tmp_path: Path
) -> None:
    work = tmp_path / "copy"
    shutil.copytree(finished[0], work)
    before = (work / "jobs" / "published-1" / "job.json").read_text()
    shutil.rmtree(work / "jobs" / "recommended-2")
    seen = []
    again = run_benchmark(
        small, work, command="test", workers=1, device="cpu", progress=lambda *args: seen.append(args)
    )
    assert again is not None
    jobs = 2 * len([m for m in small.methods if not m.large]) + 1
    assert seen == [("Training", jobs, jobs)]
    assert (work / "jobs" / "published-1" / "job.json").read_text() == before
    first, second = json.loads(finished[1]), json.loads(again[0].to_json())
    assert first["rows"] == second["rows"]
    assert first["curves"] == second["curves"]


def test_methods_can_be_trained_one_by_one(small: BenchmarkConfig, tmp_path: Path) -> None:
    work = tmp_path / "work"
    assert run_benchmark(small, work, command="x", only=["single_ct"], workers=1, device="cpu") is None
    assert sorted(path.name for path in (work / "jobs").iterdir()) == ["single_ct-1", "single_ct-2"]
    assert not (work / "lesions" / "large").exists()  # drawn when it is needed
    with pytest.raises(ConfigError, match="magic") as caught:
        run_benchmark(small, work, command="x", only=["magic"])
    assert caught.value.code == "unknown_method"


def test_lesions_of_a_job_are_its_own(small: BenchmarkConfig, finished: tuple[Path, str]) -> None:
    plans = bank_plans(small, 2)
    banks = {
        name: draw_bank(finished[0] / "lesions" / f"2-{name}", p, workers=1) for name, p in plans.items()
    }
    job = JobBanks(banks["train"], banks["validation"], {2: banks["test"]})
    diameters = [set(bank.lesions["diameter_mm"]) for bank in (job.train, job.validation, job.tests[2])]
    assert not diameters[0] & diameters[1]
    assert not diameters[0] & diameters[2]


def test_tables_do_not_wait_for_what_is_left_out(small: BenchmarkConfig, finished: tuple[Path, str]) -> None:
    without = ["lower_bound", "no_contrastive"]
    found = run_benchmark(small, finished[0], command="x", without=without, workers=1, device="cpu")
    assert found is not None
    results, whole = json.loads(found[0].to_json()), json.loads(finished[1])
    assert [method["name"] for method in results["meta"]["left_out"]] == ["no_contrastive", "lower_bound"]
    assert whole["meta"]["left_out"] == []
    assert not {row["method"] for row in results["rows"]} & set(without)
    assert all(row["regret_lower"] is None for row in results["rows"])
    kept = [row | {"regret_lower": None} for row in whole["rows"] if row["method"] not in without]
    assert results["rows"] == kept
    assert not any("lower bound" in target["what"] for target in results["targets"])
    page = benchmark_markdown(results)
    sure_of_it = {
        "what": "above x: p after Holm",
        "found": 1e-9,
        "limit": 0.05,
        "reached": True,
        "detail": "",
    }
    assert "the lower bound was not trained" in page
    assert "(`lower_bound`)" in page
    assert "Left out" not in benchmark_markdown(whole)
    assert "| 0.0000 | 0.0500 |" not in benchmark_markdown(whole | {"targets": [sure_of_it]})


@pytest.mark.parametrize(
    ("name", "code"), [("magic", "unknown_method"), ("recommended", "recommended_left_out")]
)
def test_what_cannot_be_left_out(small: BenchmarkConfig, tmp_path: Path, name: str, code: str) -> None:
    with pytest.raises(ConfigError) as caught:
        run_benchmark(small, tmp_path, command="x", without=[name], device="cpu")
    assert caught.value.code == code
    assert not list(tmp_path.iterdir())


def test_what_is_left_out_cannot_be_asked_for(small: BenchmarkConfig, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        run_benchmark(small, tmp_path, command="x", only=["lower_bound"], without=["lower_bound"])
    assert caught.value.code == "method_left_out_and_asked_for"


def test_unfinished_work_of_other_settings_is_begun_anew(tmp_path: Path) -> None:
    own = tmp_path / "recommended-1"
    own.mkdir()
    (own / "unfinished.safetensors").write_bytes(b"state")
    begin_job(own, "these settings")  # nobody says of which settings the state is
    assert [path.name for path in own.iterdir()] == [BEGUN]
    (own / "unfinished.safetensors").write_bytes(b"state")
    begin_job(own, "these settings")
    assert (own / "unfinished.safetensors").exists()
    begin_job(own, "other settings")
    assert not (own / "unfinished.safetensors").exists()
    (own / "unfinished.safetensors").write_bytes(b"state")
    (own / "job.json").write_text("{}", encoding="utf-8")  # finished, and not wanted as it is
    begin_job(own, "other settings")
    assert not (own / "job.json").exists()
    assert not (own / "unfinished.safetensors").exists()


@pytest.mark.parametrize("name", ["phantom", "lower_bound/phantom"])
def test_the_committed_pages_are_drawn_from_the_committed_results(name: str) -> None:
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "results" / f"{name}.json"
    results = json.loads(path.read_text(encoding="utf-8"))
    assert path.with_suffix(".md").read_text(encoding="utf-8") == benchmark_markdown(results)
    assert path.with_name("phantom-missing.svg").read_text(encoding="utf-8") == draw_curves(results)


def test_what_training_anew_could_turn_round_is_named_below_the_targets() -> None:
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "results" / "phantom.json"
    results = json.loads(path.read_text(encoding="utf-8"))
    said = "other trainings of the same methods may fall the other way (p of the paired t test over seeds): "
    assert f"{said}DG-CCL as published 0.1031." in benchmark_markdown(results)
    for test in results["comparisons"]:
        test["difference"]["p_seeds"] = 0.01
    assert said not in benchmark_markdown(results)


def test_areas_of_different_poses_stand_in_tables_of_their_own() -> None:
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "results" / "phantom.json"
    page = benchmark_markdown(json.loads(path.read_text(encoding="utf-8")))
    section = page.partition("## All modalities")[2].partition("\n## ")[0]
    averaged, _, one = section.partition("One pose")
    assert "DG-CCL recommended" in averaged
    assert "Recommended without the auxiliary losses" not in averaged
    assert "Recommended without the auxiliary losses" in one
    assert "of 16 hidden units" in page
