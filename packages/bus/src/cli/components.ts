import type { Transport } from "../transport.ts";
import { componentDiscover } from "../messages/component.ts";
import type { Body, Reply } from "../schema.ts";
import { ask } from "./ask.ts";
import { painter } from "./color.ts";
import { type ComponentRow, componentsText, sorted, withPresence } from "./components-text.ts";
import { connect } from "./connect.ts";
import { colorOf, commonFlags, connectionFlags, parse } from "./options.ts";
import { presentMembers } from "./presence.ts";
import type { Terminal } from "./terminal.ts";
import { Failure, milliseconds, Misuse } from "./usage.ts";
import { pause } from "./wait.ts";

const flags = { ...connectionFlags, ...commonFlags, wait: { type: "string" }, watch: { type: "boolean" }, every: { type: "string" } } as const;
/** More than this many answers are no Cloud Foundry any more. */
const mostComponents = 10_000;
const clearScreen = "\x1b[H\x1b[2J";

/** `opencf-bus components`: who is there. */
export async function components(args: readonly string[], terminal: Terminal): Promise<number> {
  const { values, positionals } = parse(args, flags);
  if (positionals.length > 0) throw new Misuse("components takes no words, only flags");
  const waitMs = milliseconds(values.wait ?? "1s", "wait");
  const everyMs = milliseconds(values.every ?? "5s", "every");
  const paint = painter(colorOf(values.color), terminal);
  await using transport = await connect(values, terminal);
  for (let round = 0; ; round++) {
    const rows = await everybody(transport, waitMs, terminal).catch((error: unknown) => {
      if (values.watch && error instanceof Failure) return undefined;
      throw error;
    });
    if (terminal.signal.aborted) return 0;
    if (values.json) for (const row of sorted(rows ?? [])) terminal.out(JSON.stringify(row));
    else {
      const [heading = "", ...lines] = componentsText(rows ?? []);
      const time = values.watch ? [paint("dim", `${new Date().toISOString().slice(11, 19)}  ${rows ? `${rows.length} components` : "the bus is away"}`)] : [];
      if (values.watch && terminal.isTty) terminal.out(`${clearScreen}${time.join("")}`);
      else if (values.watch) terminal.out(`${round > 0 ? "\n" : ""}${time.join("")}`);
      if (rows && (rows.length > 0 || values.watch)) for (const line of [paint("bold", heading), ...lines]) terminal.out(line);
    }
    if (!values.watch) {
      if (rows?.length === 0) terminal.note("no component has answered (--wait gives more time)");
      return 0;
    }
    await pause(everyMs, terminal.signal);
    if (terminal.signal.aborted) return 0;
  }
}

async function everybody(transport: Transport, waitMs: number, terminal: Terminal): Promise<ComponentRow[]> {
  const [rows, members] = await Promise.all([present(transport, waitMs, terminal), presentMembers(transport, waitMs, terminal.signal)]);
  return withPresence(rows, members, Date.now());
}

/** Everybody who answers within the time. That nobody listens means that nobody is there. */
async function present(transport: Transport, waitMs: number, { signal, note }: Terminal): Promise<ComponentRow[]> {
  const rows = new Map<string, ComponentRow>();
  let strange = 0;
  try {
    const data = componentDiscover.body.encode({} as Body<typeof componentDiscover>);
    for await (const { data: answer } of ask(transport, { subject: componentDiscover.subject, data, max: mostComponents, waitMs, signal })) {
      const parsed = componentDiscover.reply?.parse(answer);
      if (parsed?.ok) rows.set(parsed.body.uuid, rowOf(parsed.body));
      else strange++;
    }
  } catch (error) {
    if (!(error instanceof Failure && error.message.startsWith("nobody listens"))) throw error;
  }
  if (strange > 0) note(`${strange} answers are not what the catalogue says (opencf-bus tap --replies vcap.component.discover shows them)`);
  return [...rows.values()];
}

const rowOf = ({ type, index, uuid, host, start, uptime, version, zone }: Reply<typeof componentDiscover>): ComponentRow => ({
  type, index, uuid, host, start, uptime: uptime ?? null, version: version ?? null, zone: zone ?? null, answered: true,
});
