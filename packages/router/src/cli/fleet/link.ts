import { isAnswer, type Answer, type Channel, type Subject } from "./protocol.ts";

/** The way to one worker. */
export interface Link {
  /** Asks it, and gives the pieces of its answer as they come. Throws when one of them is not there in `pieceMs`, or the worker is gone. */
  ask<T>(about: Subject, query: string, pieceMs: number): AsyncGenerator<T>;
  /** The worker is gone: whoever waits for it is told. */
  close(): void;
}

export function createLink(channel: Channel): Link {
  const waiting = new Map<number, (answer: Answer | undefined) => void>();
  let last = 0;
  let closed = false;

  channel.onMessage((message) => {
    if (isAnswer(message)) waiting.get(message.seq)?.(message);
  });

  const next = (seq: number, question: object, pieceMs: number): Promise<Answer> => new Promise((resolve, reject) => {
    const done = (answer: Answer | undefined): void => {
      clearTimeout(timer);
      waiting.delete(seq);
      if (answer === undefined) reject(new Error("the worker does not answer"));
      else if (answer.failed !== undefined) reject(new Error(answer.failed));
      else resolve(answer);
    };
    const timer = setTimeout(done, pieceMs, undefined);
    if (closed) return done(undefined);
    waiting.set(seq, done);
    channel.send(question);
  });

  return {
    async *ask<T>(about: Subject, query: string, pieceMs: number): AsyncGenerator<T> {
      const seq = last += 1;
      let ended = false;
      try {
        for (let question: object = { fleet: "ask", seq, about, query }; ; question = { fleet: "more", seq }) {
          const { piece } = await next(seq, question, pieceMs);
          if (piece === undefined) {
            ended = true;
            return;
          }
          yield piece as T;
        }
      } finally {
        if (!ended && !closed) channel.send({ fleet: "stop", seq });
      }
    },
    close() {
      closed = true;
      for (const done of [...waiting.values()]) done(undefined);
    },
  };
}
