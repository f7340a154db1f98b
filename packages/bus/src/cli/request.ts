import { ask, noAnswer } from "./ask.ts";
import { compose, sendFlags } from "./compose.ts";
import { connect } from "./connect.ts";
import { documentOf } from "./document.ts";
import { commonFlags, connectionFlags, parse } from "./options.ts";
import type { Terminal } from "./terminal.ts";
import { milliseconds, wholeNumber } from "./usage.ts";

const flags = { ...connectionFlags, ...commonFlags, ...sendFlags, max: { type: "string" }, wait: { type: "string" }, secrets: { type: "boolean" } } as const;

/** `opencf-bus request SUBJECT [JSON|-]`: asks one or many. */
export async function request(args: readonly string[], terminal: Terminal): Promise<number> {
  const { values, positionals } = parse(args, flags);
  const waitMs = milliseconds(values.wait ?? "2s", "wait");
  const max = values.max === undefined ? 1 : wholeNumber(values.max, "max");
  const { subject, data, headers, message } = await compose(positionals, values, terminal);
  await using transport = await connect(values, terminal);
  let answers = 0;
  let hidden = false;
  for await (const packet of ask(transport, { subject, data, headers, max, waitMs, signal: terminal.signal })) {
    answers++;
    const of = { atMs: Date.now(), message, answers: subject };
    const document = documentOf(packet, { ...of, secrets: values.secrets ?? false });
    hidden ||= !values.secrets && JSON.stringify(document.body) !== JSON.stringify(documentOf(packet, { ...of, secrets: true }).body);
    terminal.out(values.json ? JSON.stringify(document) : typeof document.body === "string" ? document.body : JSON.stringify(document.body, null, terminal.isTty ? 2 : undefined));
    if (document.valid === false) terminal.note(`this answer is not what the catalogue says: ${(document.issues ?? []).join("; ")}`);
  }
  if (hidden) terminal.note("secrets are hidden; --secrets shows them");
  if (answers === 0 && !terminal.signal.aborted) throw noAnswer(subject, waitMs);
  return answers > 0 ? 0 : 1;
}
