import type { Packet, Transport } from "../transport.ts";
import { fillPattern, matches } from "../subject.ts";
import { createConversations } from "./conversations.ts";
import { documentOf, type TapDocument } from "./document.ts";
import { catalogue, findMessage } from "../catalogue.ts";
import { duration } from "./text.ts";
import { Failure } from "./usage.ts";

/** Subjects of the catalogue in a tree such as `dea.>`. */
const within = (tree: string): string[] => catalogue.map(({ subject }) => fillPattern(subject)).filter((pattern) => matches(tree, pattern));

export interface ListenOptions {
  patterns: readonly string[];
  /** What to listen to where this user may not listen to everything. */
  otherwise: readonly string[];
  /** Also answers that come on inboxes. */
  replies: boolean;
  /** Also what stores and the server itself say to each other. */
  everything: boolean;
  secrets: boolean;
  heard: (document: TapDocument) => void;
  note: (line: string) => void;
  now?: () => number;
}

// Streams, their acknowledgements, chunks of large objects, and the server's own account: nothing a component says.
const infrastructure = /^\$(JS|O|SYS|SRV|NRG|JSC|SYSTEM)\./;

/** Listens until disposed, over reconnects. Each packet is heard once, whatever patterns reach it. */
export function listen(transport: Transport, { patterns, otherwise, replies, everything, secrets, heard, note, now = Date.now }: ListenOptions): Disposable & { readonly failed: Promise<never> } {
  const conversations = createConversations();
  const inboxes = `${transport.inboxPrefix}.>`;
  const all: string[] = [];
  const first = replies && !patterns.some((pattern) => pattern === ">" || pattern === inboxes) ? [...patterns, inboxes] : patterns;
  const named = (start: string): boolean => patterns.some((pattern) => pattern.startsWith(start));
  const isInbox = (subject: string): boolean => subject.startsWith(`${transport.inboxPrefix}.`) || subject.startsWith("_INBOX.");

  const receive = (packet: Packet): void => {
    const { subject, reply } = packet;
    const request = conversations.requestOf(subject);
    if (reply !== undefined) conversations.asked(reply, subject);
    if (isInbox(subject) && !replies && !named(transport.inboxPrefix) && !named("_INBOX")) return;
    if (!everything && infrastructure.test(request ?? subject) && !named("$")) return;
    heard(documentOf(packet, { atMs: now(), message: findMessage(request ?? subject), answers: request, secrets }));
  };
  let fail: (error: Error) => void = () => undefined;
  const failed = new Promise<never>((_, reject) => (fail = reject));
  failed.catch(() => undefined);
  let awaySinceMs: number | undefined;
  const refused = new Set<string>();
  let summing: NodeJS.Timeout | undefined;
  /** Said once, when the server has said all it refuses. */
  const sum = (): void => {
    const left = all.filter((pattern) => !refused.has(pattern));
    const hint = "a user with the role tool may (opencf-bus permissions tool)";
    if (left.length === 0) return fail(new Failure(`this user may not listen to ${patterns.join(" ")}; ${hint}`));
    if (refused.size === 1 && refused.has(">")) return note("this user may not listen to everything; listening to the subjects of the catalogue");
    note(`this user may not listen to everything; ${hint}. Listening to ${left.join(" ")}`);
  };
  const watch = transport.on((event) => {
    if (event.type === "disconnected" && awaySinceMs === undefined) {
      awaySinceMs = now();
      note("the bus is away; waiting for it");
    } else if (event.type === "connected" && awaySinceMs !== undefined) {
      note(`the bus is back after ${duration(now() - awaySinceMs)}; what was said meanwhile was not heard`);
      awaySinceMs = undefined;
    } else if (event.type === "error" && event.operation === "subscribe") {
      const { subject = patterns[0] as string } = event;
      refused.add(subject);
      take(subject === ">" ? otherwise : otherwise.includes(subject) ? within(subject) : []);
      clearTimeout(summing);
      summing = setTimeout(sum, 200);
    } else if (event.type === "slow_consumer") note(`more is said than can be shown (${event.pending} waiting)`);
    else if (event.type === "closed") fail(event.cause ?? new Failure("the connection to the bus has ended"));
  });
  const subscriptions: Disposable[] = [];
  const take = (more: readonly string[]): void => {
    for (const pattern of more) {
      if (all.includes(pattern)) continue;
      const at = all.push(pattern) - 1;
      // Overlapping patterns bring the same packet once each; what was refused brings none.
      subscriptions.push(transport.subscribe(pattern, (packet) => void (all.slice(0, at).some((earlier) => !refused.has(earlier) && matches(earlier, packet.subject)) || receive(packet))));
    }
  };
  take(first.includes(">") ? [...first.filter((pattern) => pattern === ">")] : first);
  return {
    failed,
    [Symbol.dispose]() {
      clearTimeout(summing);
      for (const subscription of subscriptions) subscription[Symbol.dispose]();
      watch[Symbol.dispose]();
    },
  };
}
