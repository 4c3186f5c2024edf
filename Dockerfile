# The dashboard in a container, see docs/INSTALL.md. Agents do not belong into one: they rebuild
# the machine that they run on.
FROM docker.io/library/rust:1.91-slim-trixie AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --bin nixfleet

FROM docker.io/library/debian:trixie-slim
# git and ssh read sources; the certificates are for TLS; curl asks whether it is well.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates curl git openssh-client \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --user-group --no-create-home --home-dir /var/lib/nixfleet --shell /usr/sbin/nologin nixfleet \
 && install -d -o nixfleet -g nixfleet -m 0700 /var/lib/nixfleet
COPY --from=build /src/target/release/nixfleet /usr/local/bin/nixfleet
ENV NIXFLEET_LISTEN=0.0.0.0:8000 NIXFLEET_DATA_DIR=/var/lib/nixfleet
USER 10001
VOLUME /var/lib/nixfleet
EXPOSE 8000
HEALTHCHECK --start-period=20s CMD curl --fail --silent --show-error http://127.0.0.1:8000/health
ENTRYPOINT ["/usr/local/bin/nixfleet"]
CMD ["--dashboard"]
