"""The benchmark's settings: what they fix, and what they refuse."""

import pytest
from pydantic import ValidationError

from dgccl.benchmark.jobs import Job, bank_plans, job_plan, large_plan
from dgccl.benchmark.settings import BenchmarkConfig, Method, load_benchmark, method_experiment
from dgccl.errors import ConfigError


def test_the_standard_benchmark_is_the_one_that_was_promised(standard: BenchmarkConfig) -> None:
    data = standard.data
    assert (data.train, data.test, len(standard.seeds)) == (2000, 4000, 5)
    assert data.large == 50 * data.train
    groups = {method.group for method in standard.methods}
    assert groups == {"recommended", "published", "single", "rival", "ablation", "part"}
    rivals = {method.model for method in standard.methods if method.group in ("rival", "single", "published")}
    assert rivals == {
        "dgccl", "single_ct", "single_pet", "late_fusion", "summed_logits", "early_fusion", "concatenation",
        "cross_attention", "product_of_experts",
    }  # fmt: skip
    assert sum(method.group == "ablation" for method in standard.methods) == 8


def test_no_lesion_is_in_two_banks(standard: BenchmarkConfig) -> None:
    seeds = [plan.seed for seed in standard.seeds for plan in bank_plans(standard, seed).values()]
    seeds.append(large_plan(standard).seed)
    assert len(set(seeds)) == len(seeds) == 16


def test_a_method_differs_in_what_it_states_alone(standard: BenchmarkConfig) -> None:
    for method in standard.methods:
        experiment = method_experiment(standard, method, seed=standard.seeds[0])
        changed = {
            table: {
                key
                for key, value in getattr(experiment, table).model_dump().items()
                if value != getattr(standard.experiment, table).model_dump()[key]
            }
            for table in ("model", "training", "augmentation")
        }
        for table, keys in changed.items():
            assert keys <= set(method.settings.get(table, {})), method.name


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"augmentation": {"rotation_deg": 15.0}}, "augmentation"),
        ({"images": {"input_px": 32}}, "images"),
        ({"prediction": {"poses": 4}}, "prediction"),
        ({"model": {"gates": "none"}}, "gates"),
    ],
)
def test_settings_that_would_need_other_lesions_are_refused(
    standard: BenchmarkConfig, settings: dict, named: str
) -> None:
    method = Method(name="odd", label="odd", model="dgccl", group="rival", settings=settings)
    raw = standard.model_dump(mode="json")
    raw["methods"].append(method.model_dump(mode="json"))
    with pytest.raises(ValidationError, match=named):
        BenchmarkConfig.model_validate(raw)


@pytest.mark.parametrize(
    "change",
    [
        {"seeds": [1, 1]},
        {"seeds": [100]},  # the seed of the lower bound's lesions
        {"methods": []},
    ],
)
def test_contradictions_are_refused(standard: BenchmarkConfig, change: dict) -> None:
    with pytest.raises(ValidationError):
        BenchmarkConfig.model_validate(standard.model_dump(mode="json") | change)


def test_a_wrong_file_is_named(tmp_path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_benchmark(tmp_path / "absent.toml")
    assert caught.value.code == "config_not_found"
    (tmp_path / "odd.toml").write_text('name = "x"\nseeds = [1]\n')
    with pytest.raises(ConfigError, match="methods") as caught:
        load_benchmark(tmp_path / "odd.toml")
    assert caught.value.code == "config_invalid"


def test_finished_jobs_outlive_more_lesions_for_the_lower_bound(standard: BenchmarkConfig) -> None:
    """The lower bound's lesions may grow later; what the others were trained on stays the same."""
    more = standard.model_copy(update={"data": standard.data.model_copy(update={"large": 7})})
    for method in standard.methods:
        same = job_plan(standard, Job(method, 101)) == job_plan(more, Job(method, 101))
        assert same != method.large, method.name
