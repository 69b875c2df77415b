"""The house has floors: a module imports only from floors below its own, or from earlier rooms of its own floor."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "dgccl"

# Rooms of one floor stand in the order in which they may use each other. A room is a module or a package.
FLOORS = [
    ["errors", "types", "files", "workers", "config"],
    ["volume", "roi", "stats"],
    ["dicom", "nifti"],
    [
        "study",
        "outlines",
        "lesion",
        "registration",
        "cohort",
        "folds",
        "csv_table",
        "labels",
        "table_cohort",
        "clinical",
        "intensity",
        "sources",
        "other_images",
        "load_study",
        "ingest_patient",
        "ingest",
        "phantom",
    ],
    ["table_values", "sampling", "dataset", "augmentation"],
    ["model"],
    [
        "run_dir",
        "predict",
        "prediction_table",
        "fold_data",
        "lightning_state",
        "lightning_fold",
        "pretraining",
        "training",
    ],
    ["explain"],
    ["evaluation"],
    ["acceptance"],
    ["robustness"],
    ["benchmark"],
    ["report"],
    ["cli", "__main__"],
]
ORDER = {room: (floor, place) for floor, rooms in enumerate(FLOORS) for place, room in enumerate(rooms)}
TORCH_FLOOR = 4

MODULES = sorted(path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py")


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write the whole name"
            names.add(node.module or "")
            if node.module == "dgccl":
                names |= {f"dgccl.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_go_down(path: Path) -> None:
    room = room_of(path)
    assert room in ORDER, f"{room} stands on no floor: give it a place in FLOORS"
    for name in imports_of(path):
        parts = name.split(".")
        if parts[0] != "dgccl" or len(parts) == 1 or parts[1] in (room, "__version__"):
            continue
        assert ORDER[parts[1]] < ORDER[room], f"{room} imports {name}, which stands above it"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_heavy_libraries_keep_to_their_rooms(path: Path) -> None:
    room, libraries = room_of(path), {name.split(".")[0] for name in imports_of(path)}
    if ORDER[room][0] < TORCH_FLOOR or room in ("evaluation", "report"):
        assert not libraries & {"torch", "monai", "lightning"}, "torch starts at the floor of the dataset"
    if room != "dicom":
        assert not libraries & {"pydicom", "highdicom"}, "only dgccl.dicom speaks DICOM"
    if ORDER[room] < ORDER["run_dir"]:
        assert "lightning" not in libraries, "Lightning is the training floor's"


def test_every_room_exists() -> None:
    there = {room_of(path) for path in MODULES}
    assert set(ORDER) == there, "FLOORS names rooms that are not there"
