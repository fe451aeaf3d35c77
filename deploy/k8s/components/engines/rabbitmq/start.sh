#!/bin/sh
# Users and rights from the environment into definitions, in memory only; then the image's own start.
set -eu
umask 077
run=${TMPDIR:-/tmp}

user() { # user NAME PASSWORD TAGS
  printf '{"name":"%s","password":"%s","tags":"%s"}' "$1" "$2" "$3"
}
exchange() { # exchange NAME TYPE
  printf '{"name":"%s","vhost":"wattbook","type":"%s","durable":true,"auto_delete":false,"internal":false,"arguments":{}}' "$1" "$2"
}
may() { # may NAME CONFIGURE WRITE READ. Who publishes sees whether a queue is there by some right to it: that to bind it.
  printf '{"user":"%s","vhost":"wattbook","configure":"%s","write":"%s","read":"%s"}' "$1" "$2" "$3" "$4"
}
says() { # says NAME WRITE READ: the types of events that it may publish, and bind a queue to
  printf '{"user":"%s","vhost":"wattbook","exchange":"wattbook","write":"%s","read":"%s"}' "$1" "$2" "$3"
}

cat > "$run/definitions.json" <<JSON
{
  "vhosts": [{"name": "wattbook"}],
  "users": [
    $(user admin "$RABBITMQ_ADMIN_PASSWORD" administrator),
    $(user trade "$TRADE_BUS_PASSWORD" ""),
    $(user ingest "$INGEST_BUS_PASSWORD" ""),
    $(user pricing "$PRICING_BUS_PASSWORD" ""),
    $(user cash "$CASH_BUS_PASSWORD" ""),
    $(user report "$REPORT_BUS_PASSWORD" ""),
    $(user ops "$OPS_BUS_PASSWORD" monitoring)
  ],
  "exchanges": [
    $(exchange wattbook topic),
    $(exchange wattbook.dead direct)
  ],
  "permissions": [
    $(may admin '.*' '.*' '.*'),
    $(may ops '^wattbook.*' '^wattbook.*|^amq[.]default$' '^wattbook.*'),
    $(may trade '^$' '^wattbook([.]dead)?$|^wattbook[.](trade|pricing)-service$' '^wattbook$|^wattbook[.](dead[.])?trade-service$'),
    $(may pricing '^$' '^wattbook([.]dead)?$|^wattbook[.]pricing-service$' '^wattbook$|^wattbook[.](dead[.])?pricing-service$'),
    $(may cash '^$' '^wattbook$' '^$'),
    $(may ingest '^wattbook[.](dead[.])?ingest-service[.].*' '^wattbook([.]dead)?$|^wattbook[.](dead[.])?ingest-service[.].*' '^wattbook([.]dead)?$|^wattbook[.](dead[.])?ingest-service[.].*'),
    $(may report '^wattbook[.]tail[.].*' '^wattbook[.]tail[.].*' '^wattbook$|^wattbook[.]tail[.].*')
  ],
  "topic_permissions": [
    $(says trade '^trade[.](booked|refused)$' '^trade[.]confirmed$'),
    $(says pricing '^price[.].*' '^trade[.]booked$'),
    $(says cash '^cash[.]changed$' '^$'),
    $(says ingest '^trade[.]confirmed$' '^trade[.]refused$'),
    $(says report '^$' '^trade[.]booked$|^price[.].*|^cash[.].*')
  ]
}
JSON
{ cat "$(dirname "$0")/wattbook.conf"; echo "load_definitions = $run/definitions.json"; } > "$run/rabbitmq.conf"
export RABBITMQ_CONFIG_FILE="$run/rabbitmq.conf"
exec docker-entrypoint.sh "$@"
