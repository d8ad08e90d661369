"""One call of a deployed function with its event, and all that must be right about it."""

from tests.deploy.deployment import Deployed
from tests.deploy.worlds import World
from tests.house import success
from tests.house.repository import Function, functions


def named(name: str) -> Function:
    """The function of a folder and verb, such as ``agents/create``."""
    (found,) = [function for function in functions() if function.name == name]
    return found


def succeed(function: Function, stack: Deployed, world: World) -> None:
    """Call the function in a new world.

    Raises:
        AssertionError: IAM refused something to anybody meanwhile, it failed, or it did not do what it should.
    """
    world.make()
    before = len(stack.refusals())
    answer = stack.invoke(function.logical_id, world.event(function))
    refused = stack.refusals()[before:]
    assert not refused, f"IAM refused: {refused}"
    assert answer.error is None, f"{answer.error}: {answer.payload}"
    success.prove(function, answer.payload)
    stack.called.add(function.logical_id)
