import { createHash } from "node:crypto";
import { LogError } from "./errors.ts";
import { systemClock, type Clock } from "./ports.ts";

/** Whether the bearer of a token may read the logs of a source; the controller knows. */
export type MayRead = (sourceId: string, bearerToken: string) => Promise<boolean>;

export interface Access {
  /** @throws LogError LOG_NOT_FOUND (also for "no"), LOG_ACCESS_UNKNOWN when the controller cannot be asked */
  require(sourceId: string, authorization: string | undefined, options?: { fresh?: boolean }): Promise<void>;
}

/** A client that follows its logs asks four times a second: an answer is good for a moment. */
const allowedForMs = 10_000;
const refusedForMs = 2_000;
const maxEntries = 10_000;

export function createAccess(mayRead: MayRead, { clock = systemClock }: { clock?: Clock } = {}): Access {
  const answers = new Map<string, { untilMs: number; answer: Promise<boolean> }>();

  function ask(sourceId: string, token: string, fresh: boolean): Promise<boolean> {
    // Tokens are not kept, only their digest.
    const key = `${sourceId} ${createHash("sha256").update(token).digest("base64")}`;
    const known = answers.get(key);
    if (known && !fresh && known.untilMs > clock.now()) return known.answer;
    const entry = { untilMs: clock.now() + allowedForMs, answer: Promise.resolve().then(() => mayRead(sourceId, token)) };
    entry.answer.then(
      (yes) => {
        if (!yes) entry.untilMs = clock.now() + refusedForMs;
      },
      () => answers.get(key) === entry && answers.delete(key),
    );
    answers.delete(key);
    answers.set(key, entry);
    for (const oldest of answers.keys()) {
      if (answers.size <= maxEntries) break;
      answers.delete(oldest);
    }
    return entry.answer;
  }

  return {
    async require(sourceId, authorization, { fresh = false } = {}) {
      const token = /^bearer +([^\s]{1,16000})$/i.exec(authorization ?? "")?.[1];
      let allowed = false;
      try {
        if (token !== undefined) allowed = await ask(sourceId, token, fresh);
      } catch (error) {
        throw new LogError("LOG_ACCESS_UNKNOWN", "Cannot find out whether you may read this", { cause: error });
      }
      if (!allowed) throw new LogError("LOG_NOT_FOUND", "No such source");
    },
  };
}
