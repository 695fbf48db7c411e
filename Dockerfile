# One image for everything: the suite, servers, routes, the terminal client and cim-admin (docs/deployment.md).
#   docker build --tag cim .
# The base is a Debian; the tests of this file build it on one that debootstrap made.
ARG BASE=debian:bookworm-slim

FROM ${BASE} AS python
# Versions are not pinned: each build takes Debian's security updates. openssl makes certificates for trials.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates openssl python3 \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb /var/log/apt /var/log/dpkg.log

FROM python AS build
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends python3-venv \
 && python3 -m venv /opt/cim
WORKDIR /source
COPY LICENSE README.md constraints.txt pyproject.toml setup.cfg ./
COPY web web
COPY twisted twisted
COPY cim cim
# The file system of a container is read-only, so what Python and twistd would cache is made here. Nothing installs
# anything there any more, so pip goes, too, and what only some options need is there already (--trace, --message-policy).
RUN /opt/cim/bin/pip install --no-cache-dir --disable-pip-version-check --constraint constraints.txt ".[otel,words]" \
 && /opt/cim/bin/pip uninstall --yes --no-cache-dir setuptools pip \
 && /opt/cim/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/cim/lib \
 && /opt/cim/bin/twistd --help >/dev/null

FROM python
# A number above those of people and services of a host; Kubernetes sees by it that this is not root.
RUN groupadd --gid 10001 cim \
 && useradd --uid 10001 --gid cim --no-log-init --home-dir /var/lib/cim --shell /usr/sbin/nologin cim \
 && install --directory --owner=cim --group=cim --mode=0700 /var/lib/cim
COPY --from=build /opt/cim /opt/cim
COPY deploy/image/cim-start deploy/image/cim-health /usr/local/bin/
# It names the file of the keys, and no key.
# hadolint ignore=DL3064
ENV PATH=/opt/cim/bin:/usr/local/bin:/usr/bin:/bin \
    LANG=C.UTF-8 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    CIM_SUITE_DATA=/var/lib/cim \
    CIM_ADMIN_DATA=/var/lib/cim \
    CIM_ADMIN_API_KEY_FILE=/var/lib/cim/api-keys \
    CIM_HEALTH=http://127.0.0.1:8083/health
USER 10001:10001
WORKDIR /var/lib/cim
VOLUME /var/lib/cim
# Clients by TCP and WebSocket, a server's HTTP, a route's or suite's HTTP, a route's links.
EXPOSE 11211 11212 8081 8083 8084
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 CMD ["cim-health"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["cim-start"]
CMD ["suite"]
