# Builds the connector's image. `make image` builds it for a release, on a base of one digest; for trying it out:
#
#     docker build --tag x-compliance-connector:0.1.0 .
#
# Without PYTHON_DIGEST the tag decides what the base is; docs/image.md says how the digest is locked.
ARG PYTHON_IMAGE=docker.io/library/python:3.13-slim-trixie
ARG PYTHON_DIGEST=
# What the build writes has this time, in seconds since 1970, and nothing in it depends on when it was built.
ARG SOURCE_DATE_EPOCH=0

FROM ${PYTHON_IMAGE}${PYTHON_DIGEST:+@${PYTHON_DIGEST}} AS base

# What the connector depends on, each by its hash, in a virtual environment without pip; and what builds its wheel and
# its SBOM.
FROM base AS dependencies
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ONLY_BINARY=:all: PIP_ROOT_USER_ACTION=ignore \
    PYTHONHASHSEED=0
RUN python3 -m venv /opt/build && python3 -m venv --without-pip /opt/connector
COPY requirements/runtime.txt requirements/build.txt requirements/sbom.txt /src/requirements/
RUN /opt/build/bin/pip --python /opt/connector/bin/python install --no-compile --require-hashes --requirement /src/requirements/runtime.txt \
    && find /opt/connector/bin -mindepth 1 -not -name 'python*' -delete && rm -rf /opt/connector/include /opt/connector/.gitignore \
    && chmod -R a-x,a+X /opt/connector/lib \
    && python3 -m compileall -q --invalidation-mode unchecked-hash /opt/connector/lib \
    && /opt/build/bin/pip install --no-compile --require-hashes --requirement /src/requirements/build.txt \
        --requirement /src/requirements/sbom.txt

# The connector itself and the SBOM, by their places in the result below /installed.
FROM dependencies AS application
ARG SOURCE_DATE_EPOCH
COPY pyproject.toml README.md LICENSE NOTICE /src/
COPY schemas /src/schemas
COPY connector /src/connector
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels /src \
    && /opt/build/bin/pip --python /opt/connector/bin/python install --no-compile --no-deps --no-index \
        --find-links /wheels --no-warn-script-location --root /installed x-compliance-connector \
    && python3 -m compileall -q --invalidation-mode unchecked-hash -s /installed -p / /installed \
    && cp -r /installed/. / \
    && /opt/build/bin/cyclonedx-py environment --output-reproducible --output-file /installed/opt/connector/sbom.cdx.json \
        /opt/connector/bin/python

FROM base
# Python without what installs packages and what is for developers, and with its library compiled, which the official
# image leaves to each start.
RUN find / -xdev \( -name pip -o -name 'pip[-3]*' -o -name ensurepip -o -name setuptools -o -name 'setuptools-*' -o -name idlelib \
        -o -path '/usr/local/bin/idle*' -o -path '/usr/local/bin/pydoc*' -o -path '/usr/local/bin/python*-config' \) \
        -prune -exec rm -r {} + \
    && PYTHONHASHSEED=0 python3 -m compileall -q --invalidation-mode unchecked-hash -x '/(dist|site)-packages/' \
        "$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"
COPY --from=dependencies /opt/connector /opt/connector
COPY --from=application /installed /
ENV PATH=/opt/connector/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 65532:65532
EXPOSE 8080
# Of `run`, by its own port; for the other commands there is nothing to ask.
HEALTHCHECK --interval=30s --timeout=10s --start-period=15s --retries=3 CMD ["connector", "health"]
# The kernel drops a signal that a container's first process has no handler for; a blocked one waits until it has.
ENTRYPOINT ["env", "--block-signal=TERM", "connector"]
CMD ["run"]
ARG PYTHON_IMAGE
ARG PYTHON_DIGEST
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
ARG SOURCE=
ARG DOCUMENTATION=
ARG VENDOR=
LABEL org.opencontainers.image.title="x-compliance-connector" \
      org.opencontainers.image.description="Reads X's compliance streams and publishes every event to Kafka, Avro-encoded and exactly once." \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.documentation="${DOCUMENTATION}" \
      org.opencontainers.image.vendor="${VENDOR}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="${PYTHON_IMAGE}" \
      org.opencontainers.image.base.digest="${PYTHON_DIGEST}"
