#!/bin/sh
# Users and rights from the environment into definitions, in memory only; then the image's own start.
set -eu
umask 077

user() { # user NAME PASSWORD TAGS
  printf '{"name":"%s","password":"%s","tags":"%s"}' "$1" "$2" "$3"
}
may() { # may NAME CONFIGURE WRITE READ
  printf '{"user":"%s","vhost":"wattbook","configure":"%s","write":"%s","read":"%s"}' "$1" "$2" "$3" "$4"
}

cat > /tmp/definitions.json <<JSON
{
  "vhosts": [{"name": "wattbook"}],
  "users": [
    $(user admin "$RABBITMQ_ADMIN_PASSWORD" administrator),
    $(user trade "$TRADE_BUS_PASSWORD" ""),
    $(user ingest "$INGEST_BUS_PASSWORD" ""),
    $(user pricing "$PRICING_BUS_PASSWORD" ""),
    $(user report "$REPORT_BUS_PASSWORD" ""),
    $(user ops "$OPS_BUS_PASSWORD" monitoring)
  ],
  "permissions": [
    $(may admin '.*' '.*' '.*'),
    $(may trade '.*' '.*' '.*'),
    $(may ingest '.*' '.*' '.*'),
    $(may pricing '.*' '.*' '.*'),
    $(may report '.*' '.*' '.*'),
    $(may ops '.*' '.*' '.*')
  ]
}
JSON
cat /etc/wattbook/wattbook.conf > /tmp/rabbitmq.conf
export RABBITMQ_CONFIG_FILE=/tmp/rabbitmq.conf
exec docker-entrypoint.sh "$@"
