"""Others at the same one-tool run, on the same stub, by the same client: `python -m benchmarks.peers`.

Each is a server of a page in `servers/` with the packages of a requirements file beside this one, in a virtual
environment of its own below `.peers/`, which is made when it is needed.
"""
