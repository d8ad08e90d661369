"""Runs code that nobody here wrote: in a child process that can reach nothing of ours.

`runs` is the side that starts and watches it; `inside` becomes the agent's process. Standard library only, since the
child sees no other package and `inside` has to stand before anything of the platform is loaded. What holds and what
does not is in docs/code-agents.md.
"""
