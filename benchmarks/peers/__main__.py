"""`python -m benchmarks.peers`: the comparison alone."""

from benchmarks import part, stub
from benchmarks.peers import measuring

if __name__ == "__main__":
    with stub.running() as model:
        part.alone("peers", measuring.steps(), lambda progress: measuring.measure(model, progress))
