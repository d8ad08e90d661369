"""`python -m operations`: which commands there are."""

import ast
from pathlib import Path


def commands() -> dict[str, str]:
    """The commands and the first line of what they say of themselves, read from their source."""
    found: dict[str, str] = {}
    for file in sorted(Path(__file__).parent.glob("[!_]*.py")):
        tree = ast.parse(file.read_text())
        if any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body):
            found[file.stem] = (ast.get_docstring(tree) or "").partition("\n")[0]
    return found


if __name__ == "__main__":
    print("python -m operations.<command> --stack NAME [--region REGION]; --help says more.\n")
    for name, what in commands().items():
        print(f"  {name:<16} {what}")
