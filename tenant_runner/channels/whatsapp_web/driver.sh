#!/bin/sh
# Playwright's driver under the Node that it brings along, with a small heap. Playwright runs this in Node's place
# (PLAYWRIGHT_NODEJS_PATH); its first argument is <driver>/package/cli.js, beside which Node is.
export MALLOC_ARENA_MAX=1
exec "${1%/package/cli.js}/node" --optimize-for-size --max-semi-space-size=1 "$@"
