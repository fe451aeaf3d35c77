# Where no image registry is reachable: Debian's RabbitMQ, started the way the official image is.
FROM localhost/wattbook-debian
RUN groupadd --system --gid 999 rabbitmq \
    && useradd --system --uid 999 --gid 999 --home-dir /var/lib/rabbitmq rabbitmq \
    && printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d \
    && apt-get update -qq && apt-get install -y -qq --no-install-recommends rabbitmq-server >/dev/null && apt-get clean && rm -rf /var/lib/apt/lists/* \
    && rm -rf /var/lib/rabbitmq/* /var/lib/rabbitmq/.erlang.cookie && chown -R 999:999 /var/lib/rabbitmq \
    && echo '[rabbitmq_management,rabbitmq_prometheus].' > /etc/rabbitmq/enabled_plugins
# Not /usr/sbin, where Debian puts a wrapper around each that writes beside the data.
ENV PATH=/usr/lib/rabbitmq/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    HOME=/var/lib/rabbitmq RABBITMQ_LOG_BASE=/tmp RABBITMQ_LOGS=- RABBITMQ_NODENAME=rabbit@localhost
COPY rabbitmq-entrypoint /usr/local/bin/docker-entrypoint.sh
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["rabbitmq-server"]
