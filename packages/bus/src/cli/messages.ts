import { catalogue, findMessage } from "../catalogue.ts";
import type { DisconnectPolicy } from "../policy.ts";
import type { AnyMessage, Format } from "../schema.ts";
import { type Paint, painter } from "./color.ts";
import { colorOf, commonFlags, parse } from "./options.ts";
import { exampleOf, fieldRows } from "./schema-text.ts";
import type { Terminal } from "./terminal.ts";
import { cut, duration, table } from "./text.ts";
import { Misuse, nearest } from "./usage.ts";

/** `opencf-bus messages [SUBJECT]`: what may be said, and how. */
export async function messages(args: readonly string[], terminal: Terminal): Promise<number> {
  const { values, positionals } = parse(args, commonFlags);
  const [subject, ...rest] = positionals;
  if (rest.length > 0) throw new Misuse("messages takes one subject, or none for all");
  const paint = painter(colorOf(values.color), terminal);
  if (subject === undefined) {
    const lines = values.json ? catalogue.map((each) => JSON.stringify(head(each))) : catalogueText(catalogue, terminal.width, paint);
    for (const line of lines) terminal.out(line);
    return 0;
  }
  const message = findMessage(subject);
  if (!message) {
    const near = nearest(subject, catalogue.map((each) => each.subject));
    throw new Misuse(`the catalogue does not know "${subject}"${near === undefined ? "" : `: did you mean ${near}?`}`);
  }
  const lines = values.json ? [JSON.stringify(detail(message))] : messageText(message, paint);
  for (const line of lines) terminal.out(line);
  return 0;
}

/** One line for each message, by subject. */
export function catalogueText(all: readonly AnyMessage[], width: number, paint: Paint): string[] {
  const subjectWidth = Math.max(...all.map(({ subject }) => subject.length));
  return [...all].sort((a, b) => (a.subject < b.subject ? -1 : 1)).map(({ subject, about, reply }) =>
    `${paint("green", subject.padEnd(subjectWidth))} ${reply ? "?" : " "} ${cut(about, Math.max(40, width - subjectWidth - 4))}`);
}

/** Everything about one message. */
export function messageText(message: AnyMessage, paint: Paint): string[] {
  const facts = [
    ["from", message.from.join(", ")], ["to", message.to.join(", ")], ["queue group", message.queue ?? "none: everybody who listens gets it"],
    ["holds for", message.ttlMs === undefined ? "until something else is said" : duration(message.ttlMs)], ["while the bus is away", policyText(message.onDisconnect)],
    ["spoken by", message.era ?? "every generation"], ["written as", writtenAs(message.body)], ...(message.body.older === undefined ? [] : [["older senders", message.body.older]]),
  ];
  return [
    paint("bold", message.subject), message.about, "", ...table(facts.map(([name = "", value = ""]) => [name, value])),
    "", paint("bold", "Body"), ...fieldsText(message.body),
    ...(message.reply ? ["", paint("bold", "Answer"), ...(message.reply.older === undefined ? [] : [`older senders: ${message.reply.older}`]), ...fieldsText(message.reply)] : []),
    "", paint("bold", "Example"), `opencf-bus ${message.reply ? "request" : "pub"} ${exampleSubject(message)}${exampleText(message)}`,
  ];
}

const writtenAs = ({ codec }: Format<unknown>): string => ({ json: "JSON", none: "no body at all", text: "plain text", zlib: "zlib-compressed JSON" })[codec];

const fieldsText = (format: Format<unknown>): string[] => {
  const rows = fieldRows(format.schema);
  return rows.length === 0 ? ["  nothing"] : table(rows.map(({ path, type, required, about }) => [`  ${path}`, required ? "required" : "", cut(type, 100), about]));
};

export function policyText(policy: DisconnectPolicy): string {
  if (policy.kind === "drop") return "dropped";
  if (policy.kind === "latest-per-key") return `the latest is kept${policy.key.length > 0 ? ` for each ${policy.key.join(" and ")}` : ""}`;
  return `up to ${policy.max} are kept, for ${duration(policy.maxAgeMs)}`;
}

const exampleSubject = ({ subject }: AnyMessage): string => subject.replace(/\{(\w+)\}/g, (_, name: string) => ({ id: "0-5f2b9c", service: "MysqlaaS", node: "node_0" })[name] ?? name);

/** A body that the catalogue accepts. */
export function exampleBody({ body }: AnyMessage): unknown {
  return body.codec === "none" ? undefined : exampleOf(body.schema, (value) => {
    try {
      body.encode(value);
      return true;
    } catch {
      return false;
    }
  });
}

function exampleText(message: AnyMessage): string {
  const body = exampleBody(message);
  if (body === undefined || (message.body.codec === "json" && JSON.stringify(body) === "{}")) return "";
  return ` '${(typeof body === "string" && message.body.codec === "text" ? body : JSON.stringify(body)).replaceAll("'", `'\\''`)}'`;
}

const head = ({ subject, about, from, to, queue, ttlMs, onDisconnect, lane, era }: AnyMessage) => ({
  subject, about, from, to, queue: queue ?? null, ttlMs: ttlMs ?? null, onDisconnect, lane, era: era ?? null,
});

const detail = (message: AnyMessage) => ({ ...head(message), body: message.body.schema, reply: message.reply?.schema ?? null, example: exampleBody(message) ?? null });
