import assert from "node:assert/strict";
import type { Job, WorkQueue, WorkQueueOptions } from "./port.ts";

/** A carrier of work queues under test. */
export interface QueuesUnderTest {
  /** The same name opens the same queue, as another worker would. */
  open(name: string, options?: WorkQueueOptions): Promise<WorkQueue>;
}

let queues = 0;
const queueName = (): string => `case-${process.pid}-${Date.now().toString(36)}-${queues++}`;
const textOf = (job: Job): string => new TextDecoder().decode(job.data);
const later = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

async function eventually(check: () => Promise<boolean>, what: string): Promise<void> {
  for (const until = Date.now() + 10_000; ; await later(20)) {
    if (await check()) return;
    if (Date.now() > until) assert.fail(what);
  }
}

type Taking = AsyncIterator<Job>;
const taking = (queue: WorkQueue, options?: Parameters<WorkQueue["take"]>[0]): Taking => queue.take(options)[Symbol.asyncIterator]();

/** The next job, or a failure after 10 s. */
async function next(jobs: Taking): Promise<Job> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_, fail) => (timer = setTimeout(() => fail(new assert.AssertionError({ message: "no job came" })), 10_000)));
  const result = await Promise.race([jobs.next(), limit]).finally(() => clearTimeout(timer));
  if (result.done) return assert.fail("the loop ended");
  return result.value;
}

/** What every work queue keeps to; run it with a test runner of your choice. */
export const queueCases: Readonly<Record<string, (make: () => Promise<QueuesUnderTest>) => Promise<void>>> = {
  "52: jobs come in the order in which they were added, with bytes and headers; acknowledged they are gone": async (make) => {
    const under = await make();
    await using queue = await under.open(queueName());
    assert.equal(await queue.add("first", { headers: { "Opencf-Trace-Id": "t1", many: ["a", "b"] } }), true);
    assert.equal(await queue.add(Uint8Array.of(0, 255, 128)), true);
    assert.equal(await queue.pending(), 2);
    const jobs = taking(queue);
    const first = await next(jobs);
    assert.equal(textOf(first), "first");
    assert.deepEqual({ ...first.headers }, { "Opencf-Trace-Id": ["t1"], many: ["a", "b"] });
    assert.equal(first.delivery, 1);
    await first.ack();
    await first.ack();
    const second = await next(jobs);
    assert.deepEqual([...second.data], [0, 255, 128]);
    assert.equal(second.headers, undefined);
    await second.ack();
    assert.equal(await queue.pending(), 0);
    await jobs.return?.();
  },

  "52: a job that is not acknowledged comes again after the ack wait, counted": async (make) => {
    const under = await make();
    await using queue = await under.open(queueName(), { ackWaitMs: 300 });
    await queue.add("again");
    const jobs = taking(queue);
    const since = Date.now();
    await next(jobs);
    const second = await next(jobs);
    assert.equal(second.delivery, 2);
    assert.ok(Date.now() - since >= 290, "not before its time");
    await second.ack();
    await eventually(async () => (await queue.pending()) === 0, "it is done");
    await jobs.return?.();
  },

  "52: after the last delivery that is allowed a job is given up": async (make) => {
    const under = await make();
    await using queue = await under.open(queueName(), { ackWaitMs: 100, maxDeliver: 3 });
    await queue.add("poison");
    await queue.add("good");
    const seen: string[] = [];
    const jobs = taking(queue);
    while (seen.length < 4) {
      const job = await next(jobs);
      seen.push(`${textOf(job)} ${job.delivery}`);
      if (textOf(job) === "good") await job.ack();
    }
    assert.deepEqual(seen.sort(), ["good 1", "poison 1", "poison 2", "poison 3"]);
    const more = jobs.next();
    await eventually(async () => (await queue.pending()) === 0, "it is given up");
    await queue.add("next");
    const after = await more;
    assert.equal(after.done ? undefined : textOf(after.value), "next");
    await jobs.return?.();
  },

  "52: who says that he is still at work keeps his job": async (make) => {
    const under = await make();
    await using queue = await under.open(queueName(), { ackWaitMs: 1_500 });
    await using other = await under.open(queue.name, { ackWaitMs: 1_500 });
    await queue.add("long");
    const jobs = taking(queue);
    const job = await next(jobs);
    const abort = new AbortController();
    const stolen: Job[] = [];
    const thief = (async () => {
      for await (const got of other.take({ signal: abort.signal })) stolen.push(got);
    })();
    for (let i = 0; i < 8; i++) {
      await later(250);
      job.working();
    }
    await job.ack();
    assert.equal(await queue.pending(), 0);
    abort.abort();
    await thief;
    assert.equal(stolen.length, 0);
    await jobs.return?.();
  },

  "52: retry gives a job back at once, or after a delay": async (make) => {
    const under = await make();
    await using queue = await under.open(queueName());
    await queue.add("x");
    const jobs = taking(queue);
    (await next(jobs)).retry();
    const second = await next(jobs);
    assert.equal(second.delivery, 2);
    const since = Date.now();
    second.retry(300);
    const third = await next(jobs);
    assert.equal(third.delivery, 3);
    assert.ok(Date.now() - since >= 250);
    await third.ack();
    await jobs.return?.();
  },

  "52: what is given up nobody gets again": async (make) => {
    const under = await make();
    await using queue = await under.open(queueName(), { ackWaitMs: 200 });
    await queue.add("never");
    const jobs = taking(queue);
    (await next(jobs)).giveUp();
    await eventually(async () => (await queue.pending()) === 0, "it is gone");
    await queue.add("other");
    assert.equal(textOf(await next(jobs)), "other");
    await jobs.return?.();
  },

  "52: a second job with an id that is known is not added, not even when the first is done": async (make) => {
    const under = await make();
    await using queue = await under.open(queueName());
    assert.equal(await queue.add("one", { id: "stage-1" }), true);
    assert.equal(await queue.add("two", { id: "stage-1" }), false);
    assert.equal(await queue.add("three", { id: "stage-2" }), true);
    assert.equal(await queue.pending(), 2);
    const jobs = taking(queue);
    await (await next(jobs)).ack();
    await (await next(jobs)).ack();
    assert.equal(await queue.add("four", { id: "stage-1" }), false);
    assert.equal(await queue.pending(), 0);
    await jobs.return?.();
  },

  "52: an id is forgotten after its window": async (make) => {
    const under = await make();
    await using queue = await under.open(queueName(), { duplicateWindowMs: 200, ackWaitMs: 150 });
    assert.equal(await queue.add("one", { id: "x" }), true);
    await eventually(() => queue.add("one", { id: "x" }), "it is forgotten");
    assert.equal(await queue.pending(), 2);
  },

  "52: several workers share the jobs; each is done once": async (make) => {
    const under = await make();
    const name = queueName();
    await using queue = await under.open(name);
    const done: string[] = [];
    const abort = new AbortController();
    const workers = [1, 2, 3, 4].map(async () => {
      await using own = await under.open(name);
      let mine = 0;
      for await (const job of own.take({ atOnce: 2, signal: abort.signal })) {
        done.push(textOf(job));
        mine++;
        await later(2);
        await job.ack();
      }
      return mine;
    });
    for (let i = 0; i < 60; i++) await queue.add(String(i));
    await eventually(async () => (await queue.pending()) === 0, "all is done");
    abort.abort();
    const shares = await Promise.all(workers);
    assert.equal(new Set(done).size, 60);
    assert.equal(done.length, 60);
    assert.ok(shares.filter((share) => share > 0).length > 1, `one did everything: ${shares}`);
  },

  "52: no more than atOnce are unacknowledged; an acknowledgement makes room": async (make) => {
    const under = await make();
    await using queue = await under.open(queueName());
    for (const text of ["a", "b", "c"]) await queue.add(text);
    const jobs = taking(queue, { atOnce: 2 });
    const first = await next(jobs);
    await next(jobs);
    let third: Job | undefined;
    const coming = next(jobs).then((job) => (third = job));
    await later(150);
    assert.equal(third, undefined);
    await first.ack();
    assert.equal(textOf(await coming), "c");
    await jobs.return?.();
  },

  "52: a worker that leaves gives its jobs back": async (make) => {
    const under = await make();
    const name = queueName();
    await using queue = await under.open(name, { ackWaitMs: 300 });
    await queue.add("a");
    await queue.add("b");
    {
      await using leaver = await under.open(name, { ackWaitMs: 300 });
      for await (const job of leaver.take({ atOnce: 2 })) {
        assert.equal(textOf(job), "a");
        break;
      }
    }
    const got: string[] = [];
    const jobs = taking(queue);
    while (got.length < 2) {
      const job = await next(jobs);
      got.push(textOf(job));
      await job.ack();
    }
    assert.deepEqual(got.sort(), ["a", "b"]);
    await jobs.return?.();
  },

  "52: a loop that waits ends with its signal, with its dispose, with its queue, without an error": async (make) => {
    const under = await make();
    const queue = await under.open(queueName());
    const abort = new AbortController();
    const bySignal = taking(queue, { signal: abort.signal }).next();
    const disposable = queue.take();
    const byDispose = disposable[Symbol.asyncIterator]().next();
    const byQueue = taking(queue).next();
    await later(50);
    abort.abort();
    assert.equal((await bySignal).done, true);
    await disposable[Symbol.asyncDispose]();
    assert.equal((await byDispose).done, true);
    await queue[Symbol.asyncDispose]();
    assert.equal((await byQueue).done, true);
    await assert.rejects(queue.add("x"), { code: "BUS_CLOSED" });
    assert.throws(() => queue.take(), { code: "BUS_CLOSED" });
  },

  "52: what left its loop takes nothing more": async (make) => {
    const under = await make();
    await using queue = await under.open(queueName());
    const jobs = taking(queue);
    const waits = jobs.next();
    await later(50);
    await jobs.return?.();
    assert.equal((await waits).done, true);
    await queue.add("for somebody else");
    await later(100);
    const other = taking(queue);
    const job = await next(other);
    assert.equal(job.delivery, 1);
    await job.ack();
    await other.return?.();
  },

  "52: a queue that is removed ends the loops on it with BUS_NOT_FOUND": async (make) => {
    const under = await make();
    const name = queueName();
    await using queue = await under.open(name);
    await queue.add("x");
    const jobs = taking(await under.open(name));
    await (await next(jobs)).ack();
    const waits = jobs.next();
    waits.catch(() => undefined);
    await queue.destroy();
    await assert.rejects(waits, { code: "BUS_NOT_FOUND" });
    await using again = await under.open(name);
    assert.equal(await again.pending(), 0);
  },

  "52: who takes from a queue that is gone already gets BUS_NOT_FOUND": async (make) => {
    const under = await make();
    const name = queueName();
    await using queue = await under.open(name);
    await using late = await under.open(name);
    await queue.destroy();
    await assert.rejects(async () => taking(late).next(), { code: "BUS_NOT_FOUND" });
  },

  "52: what cannot be a job is refused": async (make) => {
    const under = await make();
    for (const name of ["", "a.b", "a b", ">", "x".repeat(200)]) await assert.rejects(under.open(name), { code: "BUS_INVALID_KEY" });
    await assert.rejects(under.open(queueName(), { maxDeliver: 0 }), RangeError);
    await assert.rejects(under.open(queueName(), { ackWaitMs: -1 }), RangeError);
    await using queue = await under.open(queueName());
    await assert.rejects(queue.add("x", { id: "" }), { code: "BUS_INVALID_KEY" });
    await assert.rejects(queue.add("x", { id: "a\r\nb" }), { code: "BUS_INVALID_KEY" });
    await assert.rejects(queue.add("x", { headers: { "Nats-Msg-Id": "y" } }), { code: "BUS_INVALID_HEADER" });
    await assert.rejects(queue.add({} as unknown as string), { code: "BUS_INVALID_PAYLOAD" });
    await assert.rejects(queue.add("x".repeat(1_048_577)), { code: "BUS_PAYLOAD_TOO_LARGE" });
    await assert.rejects(queue.add("x", { signal: AbortSignal.abort(new Error("before")) }), /before/);
    assert.throws(() => queue.take({ atOnce: 0 }), RangeError);
    assert.equal(await queue.pending(), 0);
  },
};
