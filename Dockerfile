# Two images from one file: `web`, without torch, and `worker`, with it.
#
# With a folder wheels/ (`make wheels`, on Linux with the same Python version) nothing is fetched
# but the base image. Without it, pip fetches the versions that constraints.txt names.
ARG PYTHON_VERSION=3.11

FROM python:${PYTHON_VERSION}-slim AS base
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PATH=/venv/bin:$PATH

FROM base AS web-libraries
WORKDIR /libraries
# The pattern matches nothing, without complaint, where there is no folder wheels/.
COPY pyproject.toml constraints.txt wheel[s] ./
RUN python -m venv /venv \
    && if ls ./*.whl >/dev/null 2>&1; then \
        printf '[global]\nno-index = true\nfind-links = /libraries\n' >/etc/pip.conf; fi \
    && python -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
print(*p["dependencies"], sep="\n", file=open("web.txt", "w")); \
print(*p["optional-dependencies"]["train"], sep="\n", file=open("train.txt", "w"))' \
    && pip install -c constraints.txt -r web.txt 'setuptools>=77'

FROM web-libraries AS worker-libraries
RUN pip install -c constraints.txt torch && pip install -c constraints.txt -r train.txt

FROM base AS code
WORKDIR /prefloop
COPY pyproject.toml constraints.txt README.md alembic.ini ./
COPY app ./app
COPY worker ./worker
COPY templates ./templates
COPY static ./static
COPY migrations ./migrations

FROM base AS runtime
RUN useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin prefloop \
    && install -d -o prefloop -g prefloop -m 0700 /data
ENV PREFLOOP_DATA=/data PREFLOOP_HOST=0.0.0.0
WORKDIR /prefloop
VOLUME /data
STOPSIGNAL SIGTERM

FROM runtime AS worker
COPY --from=worker-libraries /venv /venv
COPY --from=code /prefloop /prefloop
RUN pip install --no-index --no-deps --no-build-isolation -e .
USER prefloop
ENV OMP_WAIT_POLICY=PASSIVE GOMP_SPINCOUNT=0
CMD ["prefloop-worker", "run"]

FROM runtime AS web
COPY --from=web-libraries /venv /venv
COPY --from=code /prefloop /prefloop
RUN pip install --no-index --no-deps --no-build-isolation -e .
USER prefloop
EXPOSE 8000
ENV PREFLOOP_FORWARDED_ALLOW_IPS=127.0.0.1
CMD ["sh", "-c", "exec uvicorn app.main:serve_app --factory --host 0.0.0.0 --port 8000 \
--no-server-header --timeout-graceful-shutdown 5 \
--forwarded-allow-ips \"$PREFLOOP_FORWARDED_ALLOW_IPS\""]
