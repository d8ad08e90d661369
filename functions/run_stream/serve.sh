#!/bin/sh
# Serves the ASGI application of one file of this folder, such as `start`. Lambda Web Adapter starts this instead of
# the runtime's own loop, which would have put the layer and the runtime's boto3 on the path.
cd "$(dirname "$0")" || exit 1
export PYTHONPATH="${PYTHONPATH:+$PYTHONPATH:}/opt/python:${LAMBDA_RUNTIME_DIR:-/var/runtime}"
# The context header carries the authorizer's words, beside the 10 KB of headers that the gateway lets through.
exec python -m uvicorn "$1:application" --host 127.0.0.1 --port "$AWS_LWA_PORT" --http h11 --loop asyncio \
    --lifespan off --ws none --no-access-log --no-server-header --no-proxy-headers --timeout-keep-alive 60 \
    --h11-max-incomplete-event-size 65536
