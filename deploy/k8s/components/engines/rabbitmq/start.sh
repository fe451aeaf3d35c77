#!/bin/sh
# Users and rights from the environment into definitions, in memory only; then the image's own start.
set -eu
umask 077

user() { # user NAME PASSWORD TAGS
  printf '{"name":"%s","password":"%s","tags":"%s"}' "$1" "$2" "$3"
}
may() { # may NAME CONFIGURE WRITE READ: a queue that one only publishes to is looked for passively, which needs no right
  printf '{"user":"%s","vhost":"wattbook","configure":"%s","write":"%s","read":"%s"}' "$1" "$2" "$3" "$4"
}
says() { # says NAME WRITE READ: the types of events that it may publish and hear
  printf '{"user":"%s","vhost":"wattbook","exchange":"wattbook","write":"%s","read":"%s"}' "$1" "$2" "$3"
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
    $(may ops '^wattbook.*' '^wattbook.*|^amq[.]default$' '^wattbook.*'),
    $(may trade '^$' '^wattbook([.]dead)?$|^wattbook[.]trade-service$' '^wattbook$|^wattbook[.](dead[.])?trade-service$'),
    $(may pricing '^$' '^wattbook([.]dead)?$|^wattbook[.]pricing-service$' '^wattbook$|^wattbook[.](dead[.])?pricing-service$'),
    $(may ingest '^wattbook[.](dead[.])?ingest-service[.].*' '^wattbook([.]dead)?$|^wattbook[.](dead[.])?ingest-service[.].*' '^wattbook([.]dead)?$|^wattbook[.](dead[.])?ingest-service[.].*'),
    $(may report '^wattbook[.]tail[.].*' '^wattbook[.]tail[.].*' '^wattbook$|^wattbook[.]tail[.].*')
  ],
  "topic_permissions": [
    $(says trade '^trade[.](booked|refused)$' '.*'),
    $(says pricing '^price[.].*' '.*'),
    $(says ingest '^trade[.]confirmed$' '.*'),
    $(says report '^$' '.*')
  ]
}
JSON
cat /etc/wattbook/wattbook.conf > /tmp/rabbitmq.conf
export RABBITMQ_CONFIG_FILE=/tmp/rabbitmq.conf
exec docker-entrypoint.sh "$@"
