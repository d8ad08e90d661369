"""Laws of functions/: one file is one operation, short, without a side entrance, and closed by default."""

import ast
import sys
from pathlib import Path

from shared.domain.scopes import PLATFORM, SCOPES
from tests.house.contract import AUTHENTICATED, PUBLIC
from tests.house.repository import FUNCTIONS, Function, api_functions, files, functions, imported, shown, syntax

MAX_LINES = 40

# What a file under functions/ may import: the standard library, the resolver, and these of ours.
_API = {"aws_lambda_powertools", "shared.api", "shared.domain"}
_WORKER = {"shared.authorizer", "shared.domain", "shared.store.table", "shared.telemetry"}
_FORBIDDEN = {"os", "boto3", "botocore"}


def _source(function: Function) -> list[str]:
    return function.file.read_text().splitlines()


def _files() -> list[Path]:
    return sorted(FUNCTIONS.rglob("*.py"))


def test_no_folder_is_a_package() -> None:
    packages = [shown(file) for file in _files() if file.name == "__init__.py"]
    assert not packages, f"delete them: Lambda puts each folder itself on the path: {packages}"


def test_no_file_hides_a_library() -> None:
    taken = set(sys.stdlib_module_names) | {"aws_lambda_powertools", "boto3", "httpx", "openai", "pydantic", "shared"}
    hiding = [shown(file) for file in _files() if file.stem in taken]
    assert not hiding, f"rename them: a function's folder comes first on the path: {hiding}"


def test_no_file_imports_a_sibling() -> None:
    siblings = {file.stem for file in _files()} | {folder.name for folder in FUNCTIONS.iterdir()}
    bad = [
        f"{shown(file)}: {module or '.'}"
        for file in _files()
        for module in imported(syntax(file))
        if module.startswith(".") or module.partition(".")[0] in siblings
    ]
    assert not bad, f"move what is shared to layers/shared: {bad}"


def test_files_import_the_edge_and_the_domain_only() -> None:
    bad = [
        f"{function.name}: {module}"
        for function in functions()
        for module in imported(syntax(function.file))
        if not _may_import(module, _API if function.route else _WORKER)
    ]
    assert not bad, f"a handler is the edge and one domain function; the rest belongs to layers/shared: {bad}"


def _may_import(module: str, ours: set[str]) -> bool:
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names:
        return top not in _FORBIDDEN
    return any(module == name or module.startswith(f"{name}.") for name in ours)


def test_every_api_file_makes_its_resolver_and_handler_alike() -> None:
    for function in api_functions():
        for line in ("app = APIGatewayRestResolver(enable_validation=True)", "handler = edge(app)"):
            assert line in _source(function), f"{function.name} needs the line {line!r}: openapi.json is made from it"


def test_every_worker_logs_with_its_ids() -> None:
    bad = [function.name for function in functions() if not function.route and "@worker" not in _source(function)]
    assert not bad, f"decorate the handler with shared.telemetry.worker: {bad}"


def test_no_handler_catches_errors_or_reads_the_raw_event() -> None:
    for function in functions():
        nodes = list(ast.walk(syntax(function.file)))
        assert not any(isinstance(node, ast.Try) for node in nodes), (
            f"{function.name}: no try here; the edge turns errors into answers, the domain handles the rest"
        )
        if function.route:
            names = {node.id for node in nodes if isinstance(node, ast.Name)}
            assert "event" not in names, f"{function.name}: take parameters, not the event"


def test_handlers_are_short() -> None:
    long = [
        f"{function.name} ({len(_source(function))} lines)"
        for function in functions()
        if len(_source(function)) > MAX_LINES
    ]
    assert not long, f"what a handler decides belongs to the domain; at most {MAX_LINES} lines: {long}"


def test_every_file_says_what_it_serves() -> None:
    for function in functions():
        said = ast.get_docstring(syntax(function.file)) or ""
        begin = f"{function.route[0]} {function.route[1]}: " if function.route else ""
        assert said, f"{function.name}: say in a docstring what it serves"
        assert said.startswith(begin), f"{function.name}: the docstring must begin with {begin!r}"


def test_every_route_demands_exactly_one_known_scope() -> None:
    for function in api_functions():
        demands = [
            node.args
            for node in ast.walk(syntax(function.file))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "allowed"
        ]
        if function.public or function.authenticated:
            said = [function.public, function.authenticated, bool(demands)]
            assert said.count(True) == 1, f"{function.name}: a route is public(), authenticated() or asks for a scope"
            continue
        assert len(demands) == 1, f"{function.name}: one allowed(...) on the caller, found {len(demands)}"
        scopes = [argument.value for argument in demands[0] if isinstance(argument, ast.Constant)]
        assert len(scopes) == 1, f"{function.name}: name the scope in allowed(...) as a literal"
        assert scopes[0] in SCOPES, f"{function.name}: {scopes[0]!r} is no scope; known: {sorted(SCOPES)}"


def test_only_the_operators_functions_reach_other_tenants() -> None:
    for function in api_functions():
        text = function.file.read_text()
        if ".all_tenants" in text:
            assert any(f'allowed("{scope}")' in text for scope in PLATFORM), (
                f"{function.name} opens every tenant's data"
            )


def test_the_door_between_tenants_is_made_at_one_place() -> None:
    makers = {shown(file) for file in files(".py") if "AllTenants(" in file.read_text() and "tests" not in file.parts}
    # The operator's commands run outside the platform, by AWS's own permissions.
    makers = {maker for maker in makers if not maker.startswith("operations/")}
    assert makers == {"layers/shared/shared/api/caller.py"}, f"ask Caller.all_tenants, which checks the scope: {makers}"


def test_the_public_routes_are_these_and_no_others() -> None:
    found = {function.route for function in api_functions() if function.public}
    assert found == PUBLIC, f"only one knows that these are public: {found ^ PUBLIC}"
    found = {function.route for function in api_functions() if function.authenticated}
    assert found == AUTHENTICATED, f"only one knows that these need no scope: {found ^ AUTHENTICATED}"


def test_reading_needs_no_right_to_write() -> None:
    for function in api_functions():
        if function.public or function.authenticated:
            continue
        assert function.route
        text = function.file.read_text()
        reads = 'allowed("' in text and ':read")' in text
        assert reads == (function.route[0] == "GET"), f"{function.name}: GET asks for a :read scope, and only GET does"
