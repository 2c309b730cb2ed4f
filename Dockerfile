# The worker as a small image: one static binary, a shell and CA certificates for the endpoints.
#   docker build -t statefun-kafka .
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /out/statefun-kafka ./cmd/statefun-kafka

# Alpine brings the certificates, and with BusyBox what the health check and scripts need.
FROM alpine:3.22
# The state folder belongs to the user, so that a new volume mounted there does too.
RUN adduser -D -H -u 10001 statefun && install -d -o statefun -g statefun /var/lib/statefun-kafka
COPY --from=build /out/statefun-kafka /usr/local/bin/statefun-kafka
USER 10001:10001
WORKDIR /var/lib/statefun-kafka
ENV STATEFUN_STATE_DIR=/var/lib/statefun-kafka/state
VOLUME /var/lib/statefun-kafka
EXPOSE 9090
# Ready: all partitions that this worker owns run. Commands other than run and dev have no admin server: switch it off there.
HEALTHCHECK --interval=2s --timeout=2s --start-period=10s --retries=15 \
    CMD ["wget", "-q", "-O", "/dev/null", "http://127.0.0.1:9090/readyz"]
ENTRYPOINT ["statefun-kafka"]
CMD ["--help"]
