# A page for strangers, on a CPU: docker build -t sdxs .
# On CUDA: docker build -t sdxs:cuda --build-arg TORCH_INDEX=https://pypi.org/simple .
ARG BASE=python:3.12-slim-bookworm

FROM ${BASE} AS build
# PyPI's torch is for CUDA and brings its libraries; the driver comes from the machine
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
WORKDIR /source
COPY . .
RUN python -m venv /opt/sdxs && /opt/sdxs/bin/pip install --no-cache-dir \
  --extra-index-url "${TORCH_INDEX}" -c constraints.txt '.[torch]'

FROM ${BASE}
RUN groupadd --gid 10001 sdxs \
  && useradd --uid 10001 --gid sdxs --home-dir /cache --create-home --shell /usr/sbin/nologin sdxs \
  && install -d -o sdxs -g sdxs /weights
COPY --from=build /opt/sdxs /opt/sdxs
ENV PATH=/opt/sdxs/bin:$PATH PYTHONUNBUFFERED=1 \
  HF_HOME=/cache/huggingface SDXS_CACHE=/cache/graphs SDXS_WEIGHTS=/weights
USER 10001:10001
WORKDIR /cache
VOLUME ["/cache", "/weights"]
EXPOSE 7860
# a first start downloads what SDXS_CHECKPOINT names
HEALTHCHECK --interval=10s --timeout=5s --start-period=10m CMD \
  ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:7860/healthz', timeout=4)"]
ENTRYPOINT ["sdxs-page", "--public", "--host", "0.0.0.0", "--port", "7860"]
CMD ["text"]
