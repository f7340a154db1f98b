import { createRequire } from "node:module";
import { BusError } from "../errors.ts";
import { components } from "./components.ts";
import { helps, overview } from "./help.ts";
import { messages } from "./messages.ts";
import { permissions } from "./permissions.ts";
import { pub } from "./pub.ts";
import { request } from "./request.ts";
import { textWithoutSecrets } from "./secrets.ts";
import { tap } from "./tap.ts";
import type { Terminal } from "./terminal.ts";
import { Failure, Misuse, nearest } from "./usage.ts";

const commands: Readonly<Record<string, (args: readonly string[], terminal: Terminal) => Promise<number>>> = { tap, components, pub, request, messages, permissions };

/** Runs one command line. @returns the exit code: 0 done, 1 it did not work, 2 asked wrongly */
export async function main(args: readonly string[], terminal: Terminal): Promise<number> {
  try {
    return await dispatch(args, terminal);
  } catch (error) {
    // What an end on request interrupts is no failure; what a command itself calls one is.
    if (terminal.signal.aborted && !(error instanceof Misuse) && !(error instanceof Failure)) return 0;
    const wrong = error instanceof Misuse || (error instanceof BusError && (error.code === "BUS_INVALID_MESSAGE" || error.code === "BUS_INVALID_SUBJECT"));
    terminal.note(textWithoutSecrets(error instanceof Error ? error.message : String(error)));
    if (wrong) terminal.note(`see opencf-bus ${args[0] !== undefined && args[0] in helps ? `${args[0]} ` : ""}--help`);
    return wrong ? 2 : 1;
  }
}

async function dispatch(args: readonly string[], terminal: Terminal): Promise<number> {
  const [first, ...rest] = args;
  if (first === "--version" || first === "-v") terminal.out(version());
  else if (first === undefined || first === "--help" || first === "-h") terminal.out(overview.trimEnd());
  else if (first === "help") return dispatch(rest[0] === undefined ? [] : [rest[0], "--help"], terminal);
  else {
    const command = Object.hasOwn(commands, first) ? commands[first] : undefined;
    if (!command) {
      const near = nearest(first, Object.keys(commands));
      throw new Misuse(first.startsWith("-") ? `the command comes first: opencf-bus COMMAND ${first}` : `"${first}" is no command of opencf-bus${near === undefined ? "" : `: did you mean ${near}?`}`);
    }
    // Behind -- everything is a word.
    const flagged = rest.slice(0, rest.includes("--") ? rest.indexOf("--") : undefined);
    if (!flagged.includes("--help") && !flagged.includes("-h")) return command(rest, terminal);
    terminal.out((helps[first] ?? overview).trimEnd());
  }
  return 0;
}

/** From the package this program came with, one folder above where it lies. */
function version(): string {
  const { version: text } = createRequire(import.meta.url)("@opencf/bus/package.json") as { version: string };
  return text;
}
