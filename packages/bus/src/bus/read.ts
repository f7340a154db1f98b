import type { AnyMessage } from "../schema.ts";
import type { Packet } from "../transport.ts";
import type { Counting } from "./counters.ts";
import { type Answer, commandId, ReceivedDelivery } from "./delivery.ts";
import { noteAsked, type Once, type Seen } from "./once.ts";

export interface Reading {
  readonly counting: Counting;
  readonly answer: Answer;
}

/** Turns a packet into what a subscriber sees; undefined for what is malformed or was there before. */
export function readDelivery<M extends AnyMessage>(message: M, packet: Packet, once: Once | undefined, { counting, answer }: Reading): ReceivedDelivery<M> | undefined {
  const parsed = message.body.parse(message.body.codec === "zlib" ? packet.data : packet.text);
  if (!parsed.ok) {
    counting.count(message.subject, "invalid_message", { issues: parsed.issues.slice(0, 5) });
    return undefined;
  }
  const id = once && commandId(message, packet, parsed.body);
  if (!once || id === undefined) return new ReceivedDelivery(message, packet, parsed.body as never, { answer });
  const before = once.find(id);
  if (before) {
    counting.count(message.subject, "repeated_message");
    if (packet.reply !== undefined) answerAgain(message, before, packet.reply, { counting, answer });
    return undefined;
  }
  const seen = once.begin(id);
  if (packet.reply !== undefined) noteAsked(seen, packet.reply);
  return new ReceivedDelivery(message, packet, parsed.body as never, { answer, once, seen });
}

function answerAgain(message: AnyMessage, seen: Seen, reply: string, { counting, answer }: Reading): void {
  noteAsked(seen, reply);
  try {
    for (const each of seen.answers) answer(message, reply, each, undefined);
  } catch {
    // Too large by now: the server that came back takes less.
    counting.count(message.subject, "answer_lost");
  }
}
