#!/bin/sh
# Install what the lab's boards need: the same as `fusekit lab install`.
exec sh "$(dirname "$0")/../../toolkit/lab/install.sh"
