"""The embedded local runtime: the whole platform on one machine, without Docker and without an AWS account.

``python -m local`` starts it; the integration tests use :class:`local.runtime.Runtime` in process.
"""
