# Builds the connector's image:
#
#     docker build --build-arg PYTHON_DIGEST=sha256:... --tag x-compliance-connector:0.1.0 .
#
# PYTHON_DIGEST pins the base image; docs/deploy.md says how to look it up. Without it the tag decides.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm
ARG PYTHON_DIGEST=

FROM ${PYTHON_IMAGE}${PYTHON_DIGEST:+@${PYTHON_DIGEST}} AS base

# What the connector depends on, each by its hash, in a virtual environment without pip; and what builds its wheel.
FROM base AS dependencies
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ONLY_BINARY=:all: PIP_ROOT_USER_ACTION=ignore
RUN python3 -m venv /opt/build && python3 -m venv --without-pip /opt/connector
COPY requirements/runtime.txt requirements/build.txt /src/requirements/
RUN /opt/build/bin/pip --python /opt/connector/bin/python install --require-hashes --requirement /src/requirements/runtime.txt \
    && /opt/build/bin/pip install --require-hashes --requirement /src/requirements/build.txt

# The connector itself, by its place in the result below /installed.
FROM dependencies AS application
COPY pyproject.toml README.md LICENSE NOTICE /src/
COPY schemas /src/schemas
COPY connector /src/connector
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels /src \
    && /opt/build/bin/pip --python /opt/connector/bin/python install --no-deps --no-index --no-warn-script-location --root /installed /wheels/*.whl

FROM base
ARG PYTHON_IMAGE
ARG REVISION=unknown
LABEL org.opencontainers.image.title="x-compliance-connector" \
      org.opencontainers.image.description="Reads X's compliance streams and publishes every event to Kafka, Avro-encoded and exactly once." \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="${PYTHON_IMAGE}"
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
