import { createIds } from "../bus/ids.ts";
import { writeTrace } from "../bus/trace.ts";
import { findMessage } from "../catalogue.ts";
import { BusError } from "../errors.ts";
import { type HeadersInit, normalizeHeaders } from "../headers.ts";
import type { AnyMessage } from "../schema.ts";
import { isSubject } from "../subject.ts";
import type { Terminal } from "./terminal.ts";
import { Misuse } from "./usage.ts";

export const sendFlags = {
  "header": { type: "string", short: "H", multiple: true },
  "force": { type: "boolean" },
  "no-trace": { type: "boolean" },
} as const;

export interface SendValues {
  readonly "header"?: string[] | undefined;
  readonly "force"?: boolean | undefined;
  readonly "no-trace"?: boolean | undefined;
}

/** A message as it leaves, from the words of a command line. */
export interface Composed {
  readonly subject: string;
  readonly data: Uint8Array | string;
  readonly headers: HeadersInit;
  readonly message: AnyMessage | undefined;
}

/**
 * Reads `SUBJECT [JSON|-]` and checks it against the catalogue. No body is an empty one, which most askers mean.
 * @throws Misuse naming every fault of the body, unless `--force`
 */
export async function compose(positionals: readonly string[], values: SendValues, terminal: Pick<Terminal, "input" | "note">): Promise<Composed> {
  const [subject, given = "", ...rest] = positionals;
  if (subject === undefined) throw new Misuse("a subject is needed, such as router.greet");
  if (rest.length > 0) throw new Misuse("one subject and one body: put the JSON in single quotes");
  if (!isSubject(subject) || /[*>]/.test(subject)) throw new Misuse(`"${subject}" is no subject that can be spoken to: tokens between dots, without * and >`);
  const message = findMessage(subject);
  const text = given === "-" ? await terminal.input() : given;
  const headers = headersOf(values.header ?? []);
  return { subject, message, data: bodyOf(text, message, values.force ?? false, terminal), headers: values["no-trace"] ? headers : writeTrace(headers, createIds()(), undefined, "opencf-bus") };
}

function bodyOf(text: string, message: AnyMessage | undefined, force: boolean, { note }: Pick<Terminal, "note">): Uint8Array | string {
  try {
    if (message?.body.codec === "text") return message.body.encode(text);
    if (message?.body.codec === "none" && text.trim() === "") return "";
    if (message) return message.body.encode(json(text.trim() === "" ? "{}" : text));
    if (text.trim() !== "") json(text);
    return text;
  } catch (error) {
    if (!(error instanceof Misuse) && !(error instanceof BusError && error.code === "BUS_INVALID_MESSAGE")) throw error;
    if (!force) throw new Misuse(`${error.message.replaceAll("; ", "\n  ").replace(/^(\S+): /, "$1 is not what the catalogue says:\n  ")}\n(--force sends it as it is)`);
    note(`sent as it is, although: ${error.message}`);
    return text;
  }
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Misuse(`the body is not JSON (${error instanceof Error ? error.message.replace(/ in JSON|, ".*$/g, "").slice(0, 80) : "unreadable"})`);
  }
}

/** `Name: value`, several times. @throws Misuse */
export function headersOf(lines: readonly string[]): HeadersInit {
  const headers: Record<string, string[]> = {};
  for (const line of lines) {
    const [, name, value] = /^([^:\s]+):\s*(.*)$/.exec(line) ?? [];
    if (name === undefined || value === undefined) throw new Misuse(`-H takes 'Name: value', not "${line}"`);
    (headers[name] ??= []).push(value);
  }
  try {
    return normalizeHeaders(headers);
  } catch (error) {
    throw new Misuse(error instanceof Error ? error.message : String(error));
  }
}
