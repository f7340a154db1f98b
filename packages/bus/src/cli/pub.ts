import { compose, sendFlags } from "./compose.ts";
import { connect } from "./connect.ts";
import { commonFlags, connectionFlags, parse } from "./options.ts";
import type { Terminal } from "./terminal.ts";
import { Failure } from "./usage.ts";

/** `opencf-bus pub SUBJECT [JSON|-]`: says one thing. */
export async function pub(args: readonly string[], terminal: Terminal): Promise<number> {
  const { values, positionals } = parse(args, { ...connectionFlags, ...commonFlags, ...sendFlags });
  const { subject, data, headers, message } = await compose(positionals, values, terminal);
  await using transport = await connect(values, terminal);
  let refused: Error | undefined;
  using _watch = transport.on((event) => {
    if (event.type === "error" && event.operation === "publish") refused = event.error;
  });
  if (!transport.publish(subject, data, { headers })) throw new Failure("the bus is away at the moment");
  // The server answers in order: what it refuses it has refused by then.
  await transport.flush(terminal.signal);
  // The client passes errors on a few turns later.
  await new Promise((done) => setImmediate(done));
  if (refused) throw refused;
  if (values.json) terminal.out(JSON.stringify({ subject, message: message?.subject ?? null, bytes: data.length, headers }));
  else if (message === undefined) terminal.note(`${subject} is not in the catalogue: sent without a check`);
  return 0;
}
