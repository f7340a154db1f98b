import assert from "node:assert/strict";
import { eventually, type MakeBucketSources, opened, pause, reader, text, unused, within } from "./conformance-support.ts";
import type { WatchEvent } from "./port.ts";

export type { BucketSource, MakeBucketSources } from "./conformance-support.ts";

/** What every carrier of buckets must do: run each case on yours, in the test runner of your choice. The numbers are those of the checklist of the bus. */
export const kvCases: Readonly<Record<string, (make: MakeBucketSources) => Promise<void>>> = {
  "47 what one puts the other gets; an absent key is undefined; the revision grows with every change": (make) =>
    within(make, {}, async (a, b) => {
      assert.equal(await b.get("none"), undefined);
      const first = await a.put("app.one", "1");
      const second = await a.put("app.two", new Uint8Array([0, 255]));
      assert.ok(second > first);
      const entry = await b.get("app.one");
      assert.deepEqual([entry?.key, text(entry), entry?.revision, entry?.operation], ["app.one", "1", first, "put"]);
      assert.ok(Math.abs((entry?.createdMs ?? 0) - Date.now()) < 60_000);
      assert.deepEqual([...((await b.get("app.two"))?.value ?? [])], [0, 255]);
      assert.equal(text(await b.get("app.one")), "1");
      assert.equal((await a.put("empty", "")) > second, true);
      assert.equal((await b.get("empty"))?.value.length, 0);
    }),

  "47 a value belongs to who holds it: changing it changes nobody else's": (make) =>
    within(make, {}, async (a, b) => {
      const value = new TextEncoder().encode("intact");
      await a.put("k", value);
      value.fill(0);
      (await b.get("k"))?.value.fill(0);
      assert.equal(text(await b.get("k")), "intact");
    }),

  "47 create: only where nothing is, of many at once exactly one; again after delete and purge": (make) =>
    within(make, {}, async (a, b) => {
      const all = await Promise.allSettled(Array.from({ length: 10 }, (_, i) => (i % 2 ? a : b).create("k", String(i))));
      assert.equal(all.filter(({ status }) => status === "fulfilled").length, 1);
      for (const each of all) if (each.status === "rejected") assert.equal((each.reason as { code?: string }).code, "BUS_KEY_EXISTS");
      await a.delete("k");
      const again = await b.create("k", "again");
      assert.equal((await a.get("k"))?.revision, again);
      await a.purge("k");
      await b.create("k", "and again");
      assert.equal(text(await a.get("k")), "and again");
    }),

  "47 update: only on the last revision, of many at once exactly one": (make) =>
    within(make, {}, async (a, b) => {
      const first = await a.create("k", "0");
      const all = await Promise.allSettled(Array.from({ length: 10 }, (_, i) => (i % 2 ? a : b).update("k", String(i), first)));
      const won = all.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
      assert.equal(won.length, 1);
      for (const each of all) if (each.status === "rejected") assert.equal((each.reason as { code?: string }).code, "BUS_WRONG_REVISION");
      assert.ok((won[0] as number) > first);
      await b.put("other", "x");
      await b.update("k", "last", won[0] as number);
      await assert.rejects(a.update("k", "late", first), { code: "BUS_WRONG_REVISION" });
      await assert.rejects(a.update("unknown", "x", 7), { code: "BUS_WRONG_REVISION" });
      assert.equal(text(await a.get("k")), "last");
    }),

  "47 a write may depend on the last change of the whole bucket": (make) =>
    within(make, {}, async (a, b) => {
      assert.equal(await a.revision(), 0);
      const first = await a.put("k", "1", { bucketRevision: 0 });
      assert.equal(await b.revision(), first);
      const second = await b.put("other", "x");
      for (const late of [
        () => a.put("k", "2", { bucketRevision: first }), () => a.create("new", "2", { bucketRevision: first }),
        () => a.update("k", "2", first, { bucketRevision: first }), () => a.delete("k", { bucketRevision: first }),
      ])
        await assert.rejects(late(), { code: "BUS_WRONG_REVISION" });
      const third = await a.update("k", "2", first, { bucketRevision: second });
      const fourth = await a.create("new", "2", { bucketRevision: third });
      await a.delete("k", { bucketRevision: fourth });
      assert.deepEqual([await b.get("k"), text(await b.get("new"))], [undefined, "2"]);
    }),

  "47 delete leaves a marker and keeps the history, purge forgets it; a condition on the revision is kept": (make) =>
    within(make, { history: 5 }, async (a, b) => {
      await a.put("k", "1");
      const second = await a.put("k", "2");
      await assert.rejects(b.delete("k", { revision: second - 1 }), { code: "BUS_WRONG_REVISION" });
      await b.delete("k", { revision: second });
      assert.equal(await a.get("k"), undefined);
      assert.deepEqual((await a.history("k")).map((entry) => `${entry.operation} ${text(entry)}`), ["put 1", "put 2", "delete "]);
      await a.put("k", "3");
      await a.purge("k");
      assert.equal(await b.get("k"), undefined);
      assert.deepEqual((await b.history("k")).map(({ operation }) => operation), ["purge"]);
      await a.delete("never");
      assert.equal(await a.get("never"), undefined);
    }),

  "47 history: as many as the bucket keeps, oldest first": (make) =>
    within(make, { history: 3 }, async (a, b) => {
      for (let i = 1; i <= 6; i++) await a.put("k", String(i));
      await a.put("other", "x");
      const kept = await b.history("k");
      assert.deepEqual(kept.map(text), ["4", "5", "6"]);
      assert.deepEqual(kept.map(({ revision }) => revision), kept.map(({ revision }) => revision).sort((x, y) => x - y));
      assert.deepEqual(await b.history("none"), []);
    }),

  "47 a bucket is the same for all who open it; other options are refused, unstated ones taken as they are": (make) =>
    within(make, { history: 4, ttlMs: 60_000 }, async (a, _b, sources) => {
      await a.put("k", "1");
      const same = await opened(sources[1], a.name);
      assert.equal(text(await same.get("k")), "1");
      await assert.rejects(opened(sources[1], a.name, { history: 5 }), { code: "BUS_UNSUPPORTED" });
      await assert.rejects(opened(sources[0], a.name, { ttlMs: 1_000 }), { code: "BUS_UNSUPPORTED" });
      await assert.rejects(opened(sources[0], unused(), { history: 65 }), { code: "BUS_UNSUPPORTED" });
      await same[Symbol.asyncDispose]();
      await same[Symbol.asyncDispose]();
      await assert.rejects(same.get("k"), { code: "BUS_CLOSED" });
      assert.equal(text(await a.get("k")), "1");
    }),

  "47 a destroyed bucket is gone for all; made again it is empty": (make) =>
    within(make, {}, async (a, b, sources) => {
      await a.put("k", "1");
      await a.destroy();
      await assert.rejects(b.put("k", "2"), { code: "BUS_NOT_FOUND" });
      await assert.rejects(b.get("k"), { code: "BUS_NOT_FOUND" });
      const again = await opened(sources[1], a.name);
      assert.equal(await again.get("k"), undefined);
      await again[Symbol.asyncDispose]();
    }),

  "47 an aborted signal ends a call before it starts; a value that is too large is refused": (make) =>
    within(make, {}, async (a) => {
      await assert.rejects(a.put("k", "1", { signal: AbortSignal.abort(new Error("enough")) }), /enough/);
      assert.equal(await a.get("k"), undefined);
      await assert.rejects(a.put("k", new Uint8Array(65 * 1_048_576)), { code: "BUS_PAYLOAD_TOO_LARGE" });
      await a.put("k", "small");
    }),

  "48 watch: the value of each key, the marker, then every change of both connections": (make) =>
    within(make, { history: 3 }, async (a, b) => {
      await a.put("x", "old");
      await a.put("x", "1");
      await a.put("y", "2");
      await a.put("gone", "3");
      await a.delete("gone");
      const seen = reader(a.watch());
      await seen.shows(["put x=1", "put y=2", "--"]);
      await b.put("x", "4");
      await a.delete("y");
      // A purge takes the history away also from those who have not read it yet.
      await seen.shows(["put x=1", "put y=2", "--", "put x=4", "delete y="]);
      await b.purge("x");
      await seen.shows(["put x=1", "put y=2", "--", "put x=4", "delete y=", "purge x="]);
      const revisions = seen.entries().map(({ revision }) => revision);
      assert.deepEqual(revisions, [...new Set(revisions)].sort((m, n) => m - n));
    }),

  "48 watch: an empty bucket shows the marker at once; `history` shows all that is kept, `updates` only what comes": (make) =>
    within(make, { history: 5 }, async (a, b) => {
      await reader(a.watch()).shows(["--"]);
      await a.put("x", "1");
      await a.put("x", "2");
      await a.delete("x");
      await reader(b.watch({ include: "history" })).shows(["put x=1", "put x=2", "delete x=", "--"]);
      const updates = reader(b.watch({ include: "updates" }));
      await updates.shows(["--"]);
      await a.put("x", "3");
      await updates.shows(["--", "put x=3"]);
    }),

  "48 watch: wildcards in keys": (make) =>
    within(make, {}, async (a, b) => {
      const star = reader(a.watch({ key: "cell.*.state" }));
      const rest = reader(a.watch({ key: "cell.>" }));
      const one = reader(a.watch({ key: "cell.1" }));
      await Promise.all([star.shows(["--"]), rest.shows(["--"]), one.shows(["--"])]);
      for (const key of ["cell.1.state", "cell.1", "cell", "cell.1.2.state", "Cell.1.state"]) await b.put(key, "v");
      await star.shows(["--", "put cell.1.state=v"]);
      await rest.shows(["--", "put cell.1.state=v", "put cell.1=v", "put cell.1.2.state=v"]);
      await one.shows(["--", "put cell.1=v"]);
      assert.deepEqual((await b.keys("cell.>")).sort(), ["cell.1", "cell.1.2.state", "cell.1.state"]);
      assert.equal((await a.keys()).length, 5);
    }),

  "48 watch: goes on from a revision, markers and all": (make) =>
    within(make, { history: 10 }, async (a, b) => {
      await a.put("x", "1");
      const from = await a.put("x", "2");
      await a.delete("x");
      await a.put("y", "3");
      const seen = reader(b.watch({ fromRevision: from }));
      await seen.shows(["put x=2", "delete x=", "put y=3", "--"]);
      await a.put("x", "4");
      await seen.shows(["put x=2", "delete x=", "put y=3", "--", "put x=4"]);
    }),

  "48 watch: many changes arrive in order, each once; who reads slowly gets the last of each key": (make) =>
    within(make, { history: 1 }, async (a, b) => {
      const quick = reader(b.watch({ include: "updates" }));
      const slow = b.watch()[Symbol.asyncIterator]();
      await quick.shows(["--"]);
      const all: Promise<number>[] = [];
      for (let i = 0; i < 3_000; i++) {
        all.push(a.put(`k${i % 10}`, String(i)));
        if (i % 100 === 99) await Promise.all(all.splice(0));
      }
      await eventually(() => quick.entries().some((entry) => text(entry) === "2999"), "the last change never came");
      const revisions = quick.entries().map(({ revision }) => revision);
      for (let i = 1; i < revisions.length; i++) assert.ok((revisions[i] as number) > (revisions[i - 1] as number), "out of order or twice");
      const last = new Map<string, string | undefined>();
      for (let current = false; !(current && last.size === 10 && [...last.values()].includes("2999"));) {
        const { value: event, done } = await slow.next() as IteratorResult<WatchEvent, undefined>;
        assert.ok(!done);
        if (event.type === "current") current = true;
        else last.set(event.entry.key, text(event.entry));
      }
      assert.deepEqual([...last.values()].sort(), Array.from({ length: 10 }, (_, i) => String(2_990 + i)));
      await slow.return?.();
    }),

  "48 watch: ends quietly by signal, by leaving the loop, by disposal and with its bucket; with an error when the bucket is destroyed": (make) =>
    within(make, {}, async (a, b) => {
      const stop = new AbortController();
      const aborted = reader(a.watch({ signal: stop.signal }));
      const watch = a.watch();
      const disposed = reader(watch);
      const closed = reader(b.watch());
      const destroyed = reader(a.watch());
      await Promise.all([aborted, disposed, closed, destroyed].map((each) => each.shows(["--"])));
      stop.abort();
      await watch[Symbol.asyncDispose]();
      await watch[Symbol.asyncDispose]();
      await b[Symbol.asyncDispose]();
      await Promise.all([aborted.done, disposed.done, closed.done]);
      for await (const event of a.watch()) if (event.type === "current") break;
      await a.destroy();
      assert.deepEqual([aborted.failure, disposed.failure, closed.failure], [undefined, undefined, undefined]);
      await Promise.race([destroyed.done, pause(15_000)]);
      assert.equal((destroyed.failure as { code?: string } | undefined)?.code, "BUS_NOT_FOUND");
    }),

  "49 time to live of the bucket: entries go away, watchers are told, the key can be created again": (make) =>
    within(make, { ttlMs: 1_000 }, async (a, b) => {
      const seen = reader(b.watch());
      await seen.shows(["--"]);
      const revision = await a.put("k", "1");
      assert.equal(text(await b.get("k")), "1");
      await seen.shows(["--", "put k=1", "expire k="]);
      assert.equal(seen.entries()[1]?.revision, revision);
      await eventually(async () => (await b.get("k")) === undefined, "it never expired", 1_000);
      await eventually(async () => (await b.keys()).length === 0, "the key is still there", 1_000);
      await b.create("k", "2");
      await seen.shows(["--", "put k=1", "expire k=", "put k=2", "expire k="]);
    }),

  "49 time to live of a key: only this one goes away, others stay; what has expired cannot be updated, only created": (make) =>
    within(make, { history: 3 }, async (a, b) => {
      const seen = reader(b.watch());
      await seen.shows(["--"]);
      const started = Date.now();
      await a.put("stays", "1");
      const revision = await a.put("goes", "2", { ttlMs: 900 });
      await assert.rejects(b.create("goes", "x"), { code: "BUS_KEY_EXISTS" });
      await seen.shows(["--", "put stays=1", "put goes=2", "expire goes="]);
      assert.ok(Date.now() - started >= 880, `expired after ${Date.now() - started} ms`);
      await eventually(async () => (await a.get("goes")) === undefined, "it never expired", 1_000);
      assert.deepEqual(await a.keys(), ["stays"]);
      assert.deepEqual(await a.history("goes"), []);
      await assert.rejects(a.update("goes", "3", revision), { code: "BUS_WRONG_REVISION" });
      const next = await b.create("goes", "4");
      assert.ok(next > revision);
      assert.equal(text(await a.get("stays")), "1");
      await reader(a.watch()).shows(["put stays=1", "put goes=4", "--"]);
    }),

  "49 time to live: writing again refreshes it, writing without one ends it": (make) =>
    within(make, {}, async (a, b) => {
      const seen = reader(b.watch());
      let revision = await a.create("held", "0", { ttlMs: 1_500 });
      await a.put("kept", "0", { ttlMs: 300 });
      await a.put("kept", "1");
      for (let i = 1; i <= 8; i++) {
        await pause(250);
        revision = await a.update("held", String(i), revision, { ttlMs: 1_500 });
      }
      assert.equal(text(await b.get("held")), "8");
      assert.equal(text(await b.get("kept")), "1");
      assert.equal(seen.entries().some(({ operation }) => operation === "expire"), false);
      await eventually(() => seen.entries().at(-1)?.operation === "expire", "it never expired");
      assert.equal(seen.entries().at(-1)?.revision, revision);
      assert.equal(await b.get("held"), undefined);
    }),

  "50 keys and names of buckets: one rule for all": (make) =>
    within(make, {}, async (a, _b, sources) => {
      for (const key of ["a", "A-b/c=d_9", "a.b.c", "/", "="]) {
        await a.put(key, key);
        assert.equal(text(await a.get(key)), key);
      }
      for (const key of ["", ".a", "a.", "a..b", "a b", "a*", "*", ">", "a.>", "ä", "a\n", "a:b", "k".repeat(1_025)]) {
        for (const call of [
          () => a.get(key), () => a.put(key, "x"), () => a.create(key, "x"), () => a.update(key, "x", 1),
          () => a.delete(key), () => a.purge(key), () => a.history(key),
        ])
          await assert.rejects(call(), { code: "BUS_INVALID_KEY" }, JSON.stringify(key));
      }
      for (const pattern of ["", ".a", "a.", "a..b", "a b", ">.a", "ä"]) {
        assert.throws(() => a.watch({ key: pattern }), { code: "BUS_INVALID_KEY" }, JSON.stringify(pattern));
        await assert.rejects(a.keys(pattern), { code: "BUS_INVALID_KEY" }, JSON.stringify(pattern));
      }
      for (const name of ["", "a.b", "a b", "a/b", "a=b", "ä", "*", ">", "n".repeat(201)])
        await assert.rejects(opened(sources[0], name), { code: "BUS_INVALID_KEY" }, JSON.stringify(name));
      for (const wrong of [0, -1, 1.5, NaN]) await assert.rejects(a.put("k", "x", { ttlMs: wrong }), { code: "BUS_UNSUPPORTED" });
    }),
};
