"""What `sam build` leaves: a package for each function, with its file, and the layer beside them."""

from pathlib import Path

from tests.deploy import building
from tests.house.repository import functions


def test_every_function_is_packed_with_its_file_and_without_the_layer(built: Path) -> None:
    for function in functions():
        package = built / function.logical_id
        started_by = function.script or function.file
        assert (package / started_by.name).is_file(), f"{function.name}: {started_by.name} is not in the package"
        assert (package / function.file.name).is_file()
        assert not (package / "shared").exists(), f"{function.name}: shared belongs to the layer"


def test_the_layer_holds_the_shared_code_and_no_tests_of_others(built: Path) -> None:
    layer = built / building.LAYER / "python"
    assert (layer / "shared" / "__init__.py").is_file()
    assert not (layer / "boto3").exists(), "the runtime has boto3"
