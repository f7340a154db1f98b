import type { StatusView } from "../../status.ts";
import { isQuestion, type Answer, type Channel, type Subject } from "./protocol.ts";

/** Answers that may be under way at a time; the oldest one gives way, since whoever wanted it has left by then. */
const maxOpen = 64;
/** Rows in one message. */
const rowsAtATime = 100;

/** Tells the process that started this worker what it has to show, piece by piece, the next one when it is asked for. */
export function tellFleet(channel: Channel, view: StatusView): void {
  const open = new Map<number, AsyncIterator<unknown>>();

  async function step(seq: number): Promise<void> {
    const pieces = open.get(seq);
    if (pieces === undefined) return;
    let answer: Answer;
    try {
      const { done, value } = await pieces.next();
      answer = done === true ? { fleet: "told", seq } : { fleet: "told", seq, piece: value };
      if (done === true) open.delete(seq);
    } catch (error) {
      open.delete(seq);
      answer = { fleet: "told", seq, failed: String(error) };
    }
    channel.send(answer);
  }

  function stop(seq: number): void {
    const pieces = open.get(seq);
    open.delete(seq);
    void pieces?.return?.(undefined)?.catch(() => undefined);
  }

  channel.onMessage((message) => {
    if (!isQuestion(message)) return;
    if (message.fleet === "stop") return stop(message.seq);
    if (message.fleet === "ask") {
      const [oldest] = open.keys();
      if (open.size >= maxOpen && oldest !== undefined) stop(oldest);
      open.set(message.seq, piecesOf(view, message.about, message.query)[Symbol.asyncIterator]());
    }
    void step(message.seq);
  });
}

async function* piecesOf(view: StatusView, about: Subject, query: string): AsyncGenerator<unknown> {
  if (about === "health") yield await view.health();
  else if (about === "numbers") yield await view.numbers();
  else if (about === "apps") yield* view.apps();
  else if (about === "routes") yield* view.routes();
  else {
    const { rows, count } = await view.rows(query);
    for (let at = 0; at === 0 || at < rows.length; at += rowsAtATime) yield { rows: rows.slice(at, at + rowsAtATime), count };
  }
}
