#!/bin/sh
# Install the Debian packages named as arguments that are missing: as root right away, else say the exact command.
missing=""
for package in "$@"; do
  dpkg -s "$package" >/dev/null 2>&1 || missing="$missing $package"
done
[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ]; then
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $missing >/dev/null
else
  echo "missing system packages; run: sudo apt-get update && sudo apt-get install -y$missing" >&2
  exit 1
fi
