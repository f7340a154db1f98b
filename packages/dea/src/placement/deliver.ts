import { randomUUID } from "node:crypto";
import { type Attempt, type PlacementRefusal, refusedByAll } from "./refusal.ts";
import type { Reservation, Reserved } from "./reservation.ts";
import type { PlacementRequest } from "./shapes.ts";

/**
 * What became of a command that was sent to a host: `full` and `refused` are a no (for lack of room, for another reason), `gone`
 * says that nobody listens there, `silent` that no answer came (it may be carried out all the same, as by executors that do not
 * answer), `failed` that it could not be sent at all.
 */
export type Answer = "accepted" | "full" | "refused" | "gone" | "silent" | "failed";

interface Rule {
  /** What happens to the promise; without one it waits for the host's numbers, or runs out. */
  readonly settle?: (reservation: Reservation) => void;
  readonly forgetHost?: true;
  readonly then: "done" | "elsewhere" | "stop";
}

/** A no is never a crash of the app: it costs the way to the next host and nothing else. */
export const rules: Readonly<Record<Answer, Rule>> = {
  accepted: { settle: (promise) => promise.accept(), then: "done" },
  full: { settle: (promise) => promise.full(), then: "elsewhere" },
  refused: { settle: (promise) => promise.release(), then: "elsewhere" },
  gone: { settle: (promise) => promise.release(), forgetHost: true, then: "elsewhere" },
  silent: { then: "done" },
  failed: { settle: (promise) => promise.release(), then: "stop" },
};

/** Sends the command to a host. `id` is the promise's; a host that lists what it has counted lists this. */
export type Send = (host: string, id: string) => Promise<Answer | { answer: Answer; reason?: string }>;

export interface DeliverOptions {
  /** Default: random. Best the id of the command. */
  id?: string;
  /** How many hosts are asked at most. Default 5. */
  attempts?: number;
  /** No further host is asked once it has aborted. */
  signal?: AbortSignal;
}

/** `unsure`: no answer came, the host may have it. `stopped`: it could not be sent, or was called off. */
export type Delivery =
  | { readonly state: "accepted" | "unsure"; readonly host: string; readonly tried: readonly Attempt[] }
  | { readonly state: "refused"; readonly refusal: PlacementRefusal; readonly tried: readonly Attempt[] }
  | { readonly state: "stopped"; readonly tried: readonly Attempt[] };

interface Books {
  reserve(request: PlacementRequest, options: { id: string; leaveOut: ReadonlySet<string> }): Reserved;
  remove(host: string): boolean;
  hosts(): number;
}

/** Reserve, send, settle, and on to the next host as the table of answers says. */
export async function deliver(books: Books, request: PlacementRequest, send: Send, { id = randomUUID(), attempts = 5, signal }: DeliverOptions = {}): Promise<Delivery> {
  const tried: Attempt[] = [];
  const leaveOut = new Set<string>();
  for (let attempt = 0; attempt < attempts; attempt++) {
    if (signal?.aborted) return { state: "stopped", tried };
    const reserved = books.reserve(request, { id, leaveOut });
    if (!reserved.ok) return { state: "refused", tried, refusal: tried.length > 0 ? refusedByAll(books.hosts(), tried) : reserved.refusal };
    const { host, reservation } = reserved;
    const { answer, reason = answer } = await sent(send, host, reservation);
    const rule = rules[answer];
    rule.settle?.(reservation);
    if (rule.forgetHost) books.remove(host);
    if (rule.then === "done") return { state: answer === "accepted" ? "accepted" : "unsure", host, tried };
    leaveOut.add(host);
    tried.push({ host, reason });
    if (rule.then === "stop") return { state: "stopped", tried };
  }
  return { state: "refused", refusal: refusedByAll(books.hosts(), tried), tried };
}

/** A sender that throws has sent nothing. */
async function sent(send: Send, host: string, reservation: Reservation): Promise<{ answer: Answer; reason?: string }> {
  try {
    const answer = await send(host, reservation.id);
    return typeof answer === "string" ? { answer } : answer;
  } catch (error) {
    reservation.release();
    throw error;
  }
}
