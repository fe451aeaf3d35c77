# Where no image registry is reachable: Debian's RabbitMQ of the deployed version, started the way the official image is.
ARG ROOT
FROM ${ROOT}
RUN groupmod --non-unique --gid 999 rabbitmq && usermod --non-unique --uid 999 rabbitmq \
    && rm -rf /var/lib/rabbitmq/* /var/lib/rabbitmq/.erlang.cookie && chown -R 999:999 /var/lib/rabbitmq \
    && echo '[rabbitmq_management,rabbitmq_prometheus].' > /etc/rabbitmq/enabled_plugins
# Not /usr/sbin, where Debian puts a wrapper around each that writes beside the data.
ENV PATH=/usr/lib/rabbitmq/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    HOME=/var/lib/rabbitmq RABBITMQ_LOG_BASE=/tmp RABBITMQ_LOGS=- RABBITMQ_NODENAME=rabbit@localhost
COPY rabbitmq-entrypoint /usr/local/bin/docker-entrypoint.sh
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["rabbitmq-server"]
