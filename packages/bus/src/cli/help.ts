/** Options of every command that speaks to the bus. */
const connection = `
Connection
  --nats URL,URL        NATS servers (default NATS_URL, else nats://127.0.0.1:4222)
  --user NAME           user (default NATS_USER); the password comes from --password or, better, NATS_PASSWORD
  --token TEXT          token in place of a user
  --nkey FILE           seed of a user nkey
  --creds FILE          credentials file (JWT and seed)
  --tls-ca FILE         authority of the server's certificate; tls:// in the address asks for TLS
  --tls-cert FILE --tls-key FILE
                        our own certificate, for mutual TLS
  --inbox-prefix TEXT   where answers come in, if the server allows this user only one place (default _INBOX)
  --timeout TIME        how long connecting may take (default 5s)
`;

const codes = `
Exit codes: 0 done, 1 it did not work, 2 asked wrongly.
`;

export const overview = `opencf-bus: look at the message bus of a Cloud Foundry, or say something on it

Usage
  opencf-bus COMMAND [options]

Commands
  tap [PATTERN...]         what goes by, decoded and checked, as a person reads it
  tap --timeline INSTANCE  one start or one move from beginning to end
  components               who is there, since when
  pub SUBJECT [JSON|-]     say something, checked against the catalogue first
  request SUBJECT [JSON|-] ask something, and show who answers
  messages [SUBJECT]       what may be said: the catalogue, or one message in detail
  permissions [ROLE]       what a role may say and hear, for the configuration of nats-server

  opencf-bus COMMAND --help   tells more, with examples
  opencf-bus --version
${connection}
Times are written 500ms, 10s or 2m. Secrets (passwords, credentials, environments, signed parts of URLs) are never shown unless you say --secrets.

Examples
  opencf-bus tap 'router.>' --nats nats://10.0.0.5:4222
  opencf-bus tap --timeline any
  opencf-bus request router.greet
  opencf-bus messages dea.heartbeat
${codes}`;

const tap = `opencf-bus tap: what goes by on the bus

Usage
  opencf-bus tap [PATTERN...]              * stands for one token, > for all that follow; default: everything
  opencf-bus tap --timeline INSTANCE       one start or one move as one story

  A line is: time, mark, subject, what it says, who said it, trace.
  Marks: ! not what the catalogue says (and why), ? a subject the catalogue does not know, < an answer.
  To the server a tap is somebody who listens: while it runs, requests that nobody answers end by their timeout, not at once.

What is shown
  --replies             also answers, each with the request that it answers
  --all                 also what stores and the server itself say ($JS, $O, $SYS)
  --only-invalid        only what is not what the catalogue says
  --filter TEXT         only what has the text in its subject, body, sender or trace (of any case)
  --full                nothing cut, and the whole body below each line
  --secrets             secrets too
  --time start|previous|clock
                        time since the start (default), since the line before, or of the day
  --color auto|always|never
  --json                one JSON document per line: at, subject, message, valid, issues, reply, answers, sender,
                        trace, id, cause, headers, status, bytes, body

When it ends
  --count N             after N lines
  --for TIME            after a time; else with Ctrl-C

Timeline
  --timeline INSTANCE   an instance, an app, a trace, or the first four characters of one; any: the next start that happens
  --quiet TIME          settled when nothing new has come for so long (default 5s)
  --gap TIME            silence that gets a line of its own (default 1s)
  --from FILE           from a saved tap --json (- is standard input) in place of the bus
${connection}
Examples
  opencf-bus tap 'dea.*.start' dea.stop droplet.exited
  opencf-bus tap --only-invalid --json > wrong.jsonl
  opencf-bus tap --replies --for 1m --json > minute.jsonl
  opencf-bus tap --timeline 7c1d9a4e --from minute.jsonl
  opencf-bus tap --timeline any &  cf restart shop
${codes}`;

const components = `opencf-bus components: who is there

Usage
  opencf-bus components

  Asks everybody (vcap.component.discover) and lists type, index, address, since when. Credentials are not shown.

Options
  --wait TIME           how long answers are collected (default 1s)
  --watch               again and again, until Ctrl-C
  --every TIME          with --watch: how often (default 5s)
  --json                one JSON document per line
${connection}
Examples
  opencf-bus components
  opencf-bus components --watch --every 10s
  opencf-bus components --json | jq -r 'select(.type == "Router") | .host'
${codes}`;

const sending = `
Options
  -H 'Name: value'      a header, as many as you like
  --force               sends what the catalogue does not accept
  --no-trace            without a trace id; else the message gets one, by which tap --timeline finds what it led to
`;

const pub = `opencf-bus pub: say something

Usage
  opencf-bus pub SUBJECT [JSON|-]          - reads the body from standard input; no body is {}

  A known subject is checked first: exit code 2 and every fault by its field, and nothing is sent.
${sending}  --json                tells what was sent
${connection}
Examples
  opencf-bus pub router.register '{"host":"10.0.0.7","port":8080,"uris":["shop.example.com"]}'
  opencf-bus pub healthmanager.start
  jq -c . stop.json | opencf-bus pub dea.stop -
${codes}`;

const request = `opencf-bus request: ask something

Usage
  opencf-bus request SUBJECT [JSON|-]      - reads the body from standard input; no body is {}

  Prints each answer as one line of JSON, on a terminal with indentation. Exit code 1 when nobody listens or nobody answers.
${sending}  --max N               ends after N answers (default 1)
  --wait TIME           how long answers are awaited in all (default 2s)
  --secrets             shows secrets in answers
  --json                answers with headers and check, as tap --json has them
${connection}
Examples
  opencf-bus request router.greet
  opencf-bus request dea.status --max 100 --wait 500ms
  opencf-bus request dea.find.droplet '{"droplet":"1f6e0c52-6f0a-4c3e-9d5b-2a7b8c9d0e1f"}' --max 3
${codes}`;

const messages = `opencf-bus messages: what may be said

Usage
  opencf-bus messages [SUBJECT]            all subjects, or one in detail: fields, who speaks, who listens, an example

Options
  --json                one JSON document per line, with JSON Schema for one subject
  --color auto|always|never

Examples
  opencf-bus messages
  opencf-bus messages dea.7.start
  opencf-bus messages router.register --json | jq .body
${codes}`;

const permissions = `opencf-bus permissions: least privilege

Usage
  opencf-bus permissions [ROLE...]         the permissions of a role for nats-server; without a role: all roles

Options
  --config              a whole authorization block with a user for each role; passwords come from the server's environment
  --id ID               for an executor or stager that may hear only its own commands
  --inbox-prefix TEXT   where answers come in (default _INBOX.ROLE); the component must connect with the same
  --no-state            without the shared state (presence, leases)
  --json                as JSON, one role per line

Examples
  opencf-bus permissions router
  opencf-bus permissions executor --id 0-5f2b9c
  opencf-bus permissions --config > authorization.conf      (nats-server.conf: include authorization.conf)
${codes}`;

/** Help by command. */
export const helps: Readonly<Record<string, string>> = { tap, components, pub, request, messages, permissions };
