import assert from "node:assert/strict";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { buffer } from "../policy.ts";
import { question, saying } from "./messages.ts";
import { awaited, collector, eventually, item, manualClock, ready } from "./tools.ts";
import type { Cases } from "./world.ts";

const cycles = 100_000;
const atOnce = 200;
/** What may stay: caches of the runtime grow a little with use. One request that leaks 20 bytes would be more. */
const slackBytes = 2 * 1_048_576;

function collect(): () => void {
  setFlagsFromString("--expose-gc");
  return runInNewContext("gc") as () => void;
}

/** Item 54: time and memory. */
export const resourceCases: Cases = {
  "54 every timer obeys the clock that was given": item(async ({ bus, connect }) => {
    const clock = manualClock();
    const timed = await bus({ clock });
    const b = await connect();
    const asked = question();
    const heard = collector();
    b.subscribe(asked.subject, heard.receive);
    await ready(b);
    const hours = 3 * 3_600_000;
    const ended: string[] = [];
    const note = (what: string) => (): void => void ended.push(what);
    const all = [
      assert.rejects(timed.request(asked, { n: 1 }, { timeoutMs: hours }), { code: "BUS_TIMEOUT" }).then(note("request")),
      timed.gather(asked, { n: 1 }, { waitMs: hours }).then(note("gather")),
      assert.rejects(timed.replies(asked, { n: 1 }, { timeoutMs: hours }).next(), { code: "BUS_TIMEOUT" }).then(note("replies")),
      timed.subscribe(saying(), { firstWithinMs: hours }).closed.then(note("first")),
    ].map(awaited);
    const kept = saying(undefined, { onDisconnect: buffer(1, hours) });
    timed.publish(kept, { n: 1 });
    assert.equal(timed.lastHeardMs(kept), undefined);
    await heard.until(3);
    await eventually(() => clock.waiting >= 4, "the timers");
    clock.advance(hours - 1_000);
    await timed.flush();
    assert.deepEqual(ended, []);
    clock.advance(1_001);
    await Promise.all(all);
    assert.deepEqual(ended.sort(), ["first", "gather", "replies", "request"]);
    // What was heard is dated by it as well.
    timed.subscribe(kept);
    await timed.flush();
    b.publish(kept.subject, "{\"n\":1}");
    assert.equal(await eventually(() => timed.lastHeardMs(kept), "the message"), clock.now());
  }),

  "54 (continued) after 100 000 requests and answers the memory is what it was": item(async ({ bus }) => {
    const gc = collect();
    const [asking, answering] = [await bus(), await bus()];
    const asked = question();
    answering.subscribe(asked, ({ body, respond }) => respond({ n: body.n }));
    await ready(answering.transport);
    const ask = async (count: number): Promise<void> => {
      for (let n = 0; n < count; n += atOnce)
        await Promise.all(Array.from({ length: atOnce }, (_, i) => asking.request(asked, { n: n + i }, { timeoutMs: 5_000, ownInbox: i % 20 === 0 })));
    };
    const used = async (): Promise<number> => {
      await asking.flush();
      for (let n = 0; n < 4; n++) {
        await new Promise(setImmediate);
        gc();
      }
      const { heapUsed, external, arrayBuffers } = process.memoryUsage();
      return heapUsed + Math.max(external, arrayBuffers);
    };
    await ask(10_000);
    const before = await used();
    await ask(cycles);
    const after = await used();
    assert.ok(after - before < slackBytes, `${Math.round((after - before) / 1_024)} KiB more after ${cycles} requests`);
  }),
};
