# Where no image registry is reachable: Debian's PostgreSQL of the deployed version, started the way the official image is.
ARG ROOT
FROM ${ROOT}
RUN groupmod --non-unique --gid 999 postgres && usermod --non-unique --uid 999 postgres \
    && rm -rf /var/lib/postgresql/* && chown 999:999 /var/lib/postgresql \
    && install -d -o postgres -g postgres -m 0700 /var/lib/postgresql/data && ln -s /usr/lib/postgresql/* /usr/lib/postgresql/current
ENV PATH=/usr/lib/postgresql/current/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
COPY postgres-entrypoint /usr/local/bin/docker-entrypoint.sh
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["postgres"]
