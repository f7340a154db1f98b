import type { Msg } from "nats";
import { BusError } from "../errors.ts";
import type { Headers } from "../headers.ts";
import { type JetStream, nanoseconds } from "../jetstream/api.ts";
import { linkOf, orLost, whenUp } from "../jetstream/link.ts";
import { pause, persist } from "../jetstream/wait.ts";
import type { Job } from "./port.ts";

// A request lives so long at the server, which shows in between that it is still there; after a restart it is not.
const request = JSON.stringify({ batch: 1, expires: nanoseconds(30_000), idle_heartbeat: nanoseconds(1_000) });
const silenceMs = 3_000;

interface Pulling {
  readonly jetstream: JetStream;
  readonly name: string;
  readonly stream: string;
  readonly consumer: string;
  readonly ackWaitMs: number;
  readonly patienceMs: number;
}

/** Waits for one job, over restarts of the server and reconnects. */
export function createPull(of: Pulling): (stop: AbortSignal, release: () => void) => Promise<Job | undefined> {
  const { jetstream, name, stream, consumer } = of;
  return async (stop, release) => {
    while (!stop.aborted && !jetstream.connection.isClosed()) {
      if (!(await whenUp(jetstream.connection, 60_000, stop))) continue;
      const answer = await ask(jetstream, `$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer}`, stop);
      if (answer === "stopped") return undefined;
      if (answer === "again") continue;
      if (answer !== "nobody") return toJob(of, answer, release);
      // Nobody takes the request: the server is starting, or the queue is no more. Some servers say so, others say nothing.
      const there = await jetstream.call(`CONSUMER.INFO.${stream}.${consumer}`, undefined, { signal: stop }).catch((error: unknown) => {
        if (stop.aborted || (error instanceof BusError && error.retryable)) return true;
        throw error;
      });
      if (!there) throw new BusError("BUS_NOT_FOUND", `the work queue ${name} was removed`);
      await pause(200, stop);
    }
    return undefined;
  };
}

function ask(jetstream: JetStream, subject: string, stop: AbortSignal): Promise<Msg | "again" | "nobody" | "stopped"> {
  const { connection } = jetstream;
  return new Promise((done) => {
    if (stop.aborted) return done("stopped");
    const end = (answer: Msg | "again" | "nobody" | "stopped"): void => {
      clearTimeout(silence);
      off();
      stop.removeEventListener("abort", stopped);
      // Closed meanwhile: nothing to take back.
      if (!connection.isClosed()) heard.unsubscribe();
      done(answer);
    };
    const stopped = (): void => end("stopped");
    // After a loss the server knows nothing of the request.
    const off = linkOf(connection).on(() => end("again"));
    let silence = setTimeout(end, silenceMs, "nobody");
    stop.addEventListener("abort", stopped, { once: true });
    const reply = jetstream.inbox();
    const heard = connection.subscribe(reply, {
      callback: (error, message) => {
        const code = error ? 500 : (message.headers?.code ?? 0);
        if (code === 0) return end(message);
        if (code === 503) return end("nobody");
        if (code !== 100) return end(code === 409 ? "nobody" : "again");
        clearTimeout(silence);
        silence = setTimeout(end, silenceMs, "nobody");
      },
    });
    try {
      connection.publish(subject, request, { reply });
    } catch {
      end("stopped");
    }
  });
}

function toJob({ jetstream, ackWaitMs, patienceMs }: Pulling, message: Msg, release: () => void): Job {
  const { connection } = jetstream;
  const subject = message.reply ?? "";
  const say = (text: string): void => {
    if (!connection.isClosed()) connection.publish(subject, text);
  };
  let acked: Promise<void> | undefined;
  let settled = false;
  // Past its time the job is somebody else's: it no longer keeps this worker from taking another one.
  let timer = setTimeout(release, ackWaitMs);
  const settle = (): boolean => {
    if (settled) return false;
    settled = true;
    clearTimeout(timer);
    return true;
  };
  return {
    data: message.data,
    headers: readHeaders(message),
    delivery: deliveryOf(subject),
    ack: () =>
      (acked ??= (async () => {
        settle();
        try {
          // The server answers, so that what is done is known to be recorded; saying it twice is harmless.
          await persist((_, timeoutMs) => confirmed(jetstream, subject, timeoutMs), { forMs: patienceMs });
        } finally {
          release();
        }
      })()),
    retry(delayMs = 0) {
      if (!settle()) return;
      say(delayMs > 0 ? `-NAK ${JSON.stringify({ delay: nanoseconds(delayMs) })}` : "-NAK");
      release();
    },
    working() {
      if (settled) return;
      clearTimeout(timer);
      timer = setTimeout(release, ackWaitMs);
      say("+WPI");
    },
    giveUp() {
      if (!settle()) return;
      say("+TERM");
      release();
    },
  };
}

async function confirmed({ connection }: JetStream, subject: string, timeoutMs: number): Promise<void> {
  if (connection.isClosed()) throw new BusError("BUS_CLOSED", "this connection to the bus is closed");
  try {
    if (!(await whenUp(connection, timeoutMs, undefined))) throw new Error("no connection");
    await orLost(connection, connection.request(subject, "+ACK", { timeout: timeoutMs }));
  } catch (error) {
    throw new BusError("BUS_TIMEOUT", "the server did not confirm that the job is done; it may be given to somebody again", { cause: error, retryable: true });
  }
}

/** The count of deliveries in `$JS.ACK.…`, which is written in a short form and a long one that begins with domain and account (ADR-15). */
function deliveryOf(subject: string): number {
  const parts = subject.split(".");
  return Number(parts[parts.length === 9 ? 4 : 6]) || 1;
}

function readHeaders(message: Msg): Headers | undefined {
  if (!message.headers) return undefined;
  const headers: Record<string, readonly string[]> = {};
  for (const key of message.headers.keys()) if (!/^nats-/i.test(key)) headers[key] = message.headers.values(key);
  return Object.keys(headers).length > 0 ? headers : undefined;
}
