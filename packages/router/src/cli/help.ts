export const help = `opencf-router: routes HTTP, WebSocket and TCP connections by host, path and port

usage: opencf-router -c FILE | --routes FILE | --nats URL[,URL…] [options]

where routes come from
  -c, --config FILE   a gorouter's configuration, or a file of routes (see below); what flags say counts more
  --routes FILE       routes from a file like the one below
  --nats URL,URL      routes from router.register messages on a NATS cluster
  --nats-timeout MS   for the first connection to NATS (default 20000)
Files with routes are watched: a change is taken without touching what stays, a bad edit is told on
standard error and the old routes stay. SIGHUP has them read at once, and opens the access log anew.

what is listened on
  --port PORT         traffic (default 8080, 0 = any free one)
  --host ADDRESS      interface for traffic (default 127.0.0.1; 0.0.0.0 = all)
  --tcp-ports RANGES  ports that TCP routes may open, e.g. 2000-2100,5432 (default none)
  --status-port PORT  a page for people, /health, /varz, /metrics and /routes on 127.0.0.1 (default off)
  --status-user NAME  ask for credentials on all but /health; the password is taken from ROUTER_STATUS_PASSWORD
  --workers N         processes that share the ports and their load (default 1); the status is that of all of them,
                      and names those that do not answer

what is told
  --access-log FILE   one line per request; - is standard output (default off)
  --access-log-kind K line: as a gorouter writes it; json: one object per line (default line)
  --json              write events as JSON lines: gathering, listening, requests, connections, stopped
  --check-config      with -c: say what becomes of every key in the file, and stop
  --list-keys         say what becomes of every key that a gorouter's configuration may have
  --help              this text

beginning and end
  --engine NAME       who speaks HTTP/1.1: native, or undici (default native)
  --start-delay MS    let routes come in before the port opens (default 5000 with --nats)
  --drain-wait MS     on SIGTERM, SIGINT or SIGUSR1 go on accepting for so long, with /health at 503 (default 0)
  --drain-timeout MS  then let requests finish for at most so long (default 10000)
  --on-term WHAT      what SIGTERM and SIGINT mean: drain (default), or stop at once as in a gorouter; SIGUSR1 always drains
  --save-routes FILE  keep the routes of the bus here, and begin with them the next time, until they are confirmed

examples
  opencf-router -c routes.yml
  opencf-router -c /etc/gorouter.yml --check-config
  opencf-router -c /etc/gorouter.yml --workers 4
  opencf-router --nats nats://10.0.0.2:4222,nats://10.0.0.3:4222 --host 0.0.0.0 --port 80 --status-port 8082
  curl -H 'Host: shop.example.com' http://127.0.0.1:8080/

routes.yml
  routes:
    shop.example.com: [127.0.0.1:3001, 127.0.0.1:3002]
    shop.example.com/admin: 127.0.0.1:3003
    "*.example.com":
      endpoints: [{ address: "10.0.0.7:8443", tls: true, server_name: api.internal }]
      load_balancing: least-connections
  tcp_ports: 2000-2100,5432-5433
  tcp_routes:
    2022: 127.0.0.1:22                      # everybody on port 2022
    5432/db.example.com: 10.0.0.8:5432      # whoever asks for that name in the TLS handshake
  tcp_tls: { ports: 5433, cert_file: db.pem, key_file: db.key }      # here the TLS of clients ends

A file with routes may have keys of a gorouter besides (port, nats, enable_ssl …). A file without routes is a
gorouter's: what it does not say is as there (port 8081 on all interfaces, status on 8080 and 8082, a bus on this
machine, paths without case). Keys that are not honoured are named on standard error at the start.
On the bus a TCP route is a router.register message with "uris": ["tcp:2022"].

exit codes: 0 stopped after a drain, 1 it did not work, 2 asked wrongly
`;
