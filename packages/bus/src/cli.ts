#!/usr/bin/env node
import { parseArgs } from "node:util";
import { createBus } from "./bus.ts";
import { BusError } from "./errors.ts";
import * as messages from "./messages.ts";
import { natsTransport } from "./nats-transport.ts";
import type { Message } from "./schema.ts";
import { matches } from "./subject.ts";

const help = `opencf-bus: look at the message bus of a Cloud Foundry, or say something on it

Usage
  opencf-bus tap [PATTERN] --nats URL      print what goes by, checked against the catalogue (default: everything)
  opencf-bus components --nats URL         who is there, since when
  opencf-bus pub SUBJECT JSON --nats URL   publish one message; a known subject is checked first
  opencf-bus messages                      every subject of the catalogue

Options
  --nats URL,URL   NATS servers (default: NATS_URL, else nats://127.0.0.1:4222)
  --wait MS        how long answers are collected (default 1000)
  --json           one JSON document per line
  --help           this text

Examples
  opencf-bus tap 'router.>' --nats nats://127.0.0.1:4222
  opencf-bus components --json
  opencf-bus pub router.register '{"host":"10.0.0.7","port":8080,"uris":["shop.example.com"]}'

Exit codes: 0 done, 1 it did not work, 2 asked wrongly.
`;

/** The catalogue: everything that has a subject. */
const catalogue: Message[] = Object.values(messages).filter((each): each is typeof messages.routerStart => "subject" in each) as unknown as Message[];
const known = (subject: string): Message | undefined => catalogue.find((each) => matches(each.subject.replace(/\{\w+\}/g, "*"), subject));

class Misuse extends Error {}

async function main(args: string[]): Promise<void> {
  const { values, positionals } = parse(args);
  const [command, first, second] = positionals;
  if (values.help || command === undefined) return void process.stdout.write(help);
  if (command === "messages")
    return void catalogue.forEach(({ subject, about }) => print(values.json, { subject, about }, `${subject.padEnd(28)} ${about}`));
  if (!["tap", "components", "pub"].includes(command)) throw new Misuse(`"${command}" is no command of opencf-bus`);
  const servers = values.nats ?? process.env["NATS_URL"] ?? "nats://127.0.0.1:4222";
  const transport = await natsTransport({ servers, connectTimeoutMs: 5_000, name: "opencf-bus" })();
  if (command === "tap") {
    transport.subscribe(first ?? ">", ({ subject, data, reply }) => {
      const format = known(subject)?.body;
      const parsed = format?.parse(data);
      const text = new TextDecoder().decode(data);
      const mark = !parsed ? "?" : parsed.ok ? " " : "!";
      const why = parsed && !parsed.ok ? `   invalid: ${parsed.issues.join("; ")}` : "";
      print(values.json, { at: new Date().toISOString(), subject, reply, valid: parsed?.ok ?? null, ...(parsed && !parsed.ok && { issues: parsed.issues }), body: parsed?.ok ? parsed.body : text },
        `${new Date().toISOString().slice(11, 23)} ${mark} ${subject}  ${text.slice(0, 2_000)}${why}`);
    });
    await new Promise<void>((done) => process.once("SIGINT", done).once("SIGTERM", done));
    return transport[Symbol.asyncDispose]();
  }
  await using bus = await createBus({ transport });
  if (command === "components") {
    const found = await bus.gather(messages.componentDiscover, {}, { waitMs: Number(values.wait) });
    for (const { credentials: _, ...component } of found.sort((a, b) => a.type.localeCompare(b.type) || a.index - b.index))
      print(values.json, component, `${component.type.padEnd(18)} ${String(component.index).padStart(3)}  ${component.host.padEnd(22)} up ${component.uptime ?? "?"}`);
    return;
  }
  if (first === undefined || second === undefined) throw new Misuse("pub needs a subject and a JSON body");
  const body = json(second);
  const message = known(first);
  const data = message ? message.body.encode(body) : new TextEncoder().encode(JSON.stringify(body));
  transport.publish(first, data);
  await bus.flush();
}

function parse(args: string[]) {
  try {
    return parseArgs({
      args, allowPositionals: true,
      options: { nats: { type: "string" }, wait: { type: "string", default: "1000" }, json: { type: "boolean", default: false }, help: { type: "boolean", short: "h", default: false } },
    });
  } catch (error) {
    throw new Misuse(error instanceof Error ? error.message : String(error));
  }
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Misuse("the body is not JSON");
  }
}

const print = (asJson: boolean, value: object, line: string): void => void process.stdout.write(`${asJson ? JSON.stringify(value) : line}\n`);

try {
  await main(process.argv.slice(2));
} catch (error) {
  const wrong = error instanceof Misuse || (error instanceof BusError && (error.code === "BUS_INVALID_MESSAGE" || error.code === "BUS_INVALID_SUBJECT"));
  process.stderr.write(`opencf-bus: ${error instanceof Error ? error.message : String(error)}${wrong ? "\nSee opencf-bus --help" : ""}\n`);
  process.exitCode = wrong ? 2 : 1;
}
