import * as component from "./messages/component.ts";
import * as diego from "./messages/diego.ts";
import * as droplet from "./messages/droplet.ts";
import * as health from "./messages/health.ts";
import * as log from "./messages/log.ts";
import * as route from "./messages/route.ts";
import * as service from "./messages/service.ts";
import * as staging from "./messages/staging.ts";
import * as task from "./messages/task.ts";
import type { AnyMessage } from "./schema.ts";

const isMessage = (value: unknown): value is AnyMessage => typeof value === "object" && value !== null && "subject" in value;
const messagesOf = (module: object): readonly AnyMessage[] => Object.values(module).filter(isMessage).sort((a, b) => (a.subject < b.subject ? -1 : 1));

/** The messages by the room that declares them, as `@opencf/bus/messages/ROOM` has them. */
export const rooms: Readonly<Record<string, readonly AnyMessage[]>> = {
  route: messagesOf(route),
  droplet: messagesOf(droplet),
  staging: messagesOf(staging),
  health: messagesOf(health),
  component: messagesOf(component),
  log: messagesOf(log),
  service: messagesOf(service),
  diego: messagesOf(diego),
  task: messagesOf(task),
};

/** Every message that is spoken on the bus of a Cloud Foundry. */
export const catalogue: readonly AnyMessage[] = Object.values(rooms).flat();

interface Template {
  readonly message: AnyMessage;
  /** undefined where the template has a name in braces. */
  readonly tokens: readonly (string | undefined)[];
}

const exact = new Map<string, AnyMessage>();
/** Templates by their number of tokens; those with more words of their own come first. */
const templates = new Map<number, Template[]>();
for (const message of catalogue) {
  if (!message.subject.includes("{")) {
    exact.set(message.subject, message);
    continue;
  }
  const tokens = message.subject.split(".").map((token) => (token.startsWith("{") ? undefined : token));
  const same = templates.get(tokens.length) ?? [];
  templates.set(tokens.length, [...same, { message, tokens }].sort((a, b) => named(a) - named(b)));
}

function named({ tokens }: Template): number {
  return tokens.filter((token) => token === undefined).length;
}

/** The message that a published subject belongs to: `dea.7.start` is `dea.{id}.start`, `dea.discover` is no service called `dea`. */
export function findMessage(subject: string): AnyMessage | undefined {
  const found = exact.get(subject);
  if (found) return found;
  const tokens = subject.split(".");
  if (tokens.includes("")) return undefined;
  return templates.get(tokens.length)?.find((template) => template.tokens.every((token, i) => token === undefined || token === tokens[i]))?.message;
}
