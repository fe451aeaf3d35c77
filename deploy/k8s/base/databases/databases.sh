#!/bin/sh
# Databases and roles with least rights, as `wattbook db roles` says them (a check compares). Safe to run again:
# passwords are set to what the environment says, which is how they are rotated.
set -eu
exec psql --no-psqlrc --quiet -v ON_ERROR_STOP=1 -d postgres -f "$(dirname "$0")/roles.sql"
