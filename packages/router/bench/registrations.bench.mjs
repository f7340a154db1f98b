#!/usr/bin/env node
// What registrations cost the requests that go on meanwhile, at half of what the router can do: heartbeats of many apps, and 100 000 new routes at once.
//   node packages/router/bench/registrations.bench.mjs [--apps 20000] [--beats 20000] [--burst 100000] [--seconds 4] [--rounds 5] [--engine native] [--node FLAGS] [--rate N] [--no-pin] [--json]
// Needs nats-server on the PATH. In turn, `--rounds` times: requests alone; requests while the same messages are published on a subject that
// the router does not hear (what the machine alone does to them: publisher, bus and client share cores); requests with the heartbeats.
// `p99 to alone` and `to unheard` are ratios within each round, median. The same for new routes, where `most ms` is the longest wait of any
// request and `worst` that of all rounds; `in s`, how long it took until all routes were in; requests go on until then, and those of earlier rounds stay: the table grows with each. The router
// shares its core with the threads of V8's collector, and waits come from there. Waits run from when a request was due. `longest turn` is the longest
// turn of the router's event loop in processor time of its thread; `held`: with what that thread waited meanwhile for its core, which the collector's threads
// had, or others (the other rows tell how much that is). Pauses of a virtual machine are in the waits and hardly in these two, so `held` is what the router
// itself makes a request wait. `lag p99`: how late the measuring process itself was. `--rate N`: this many requests a second instead.
// `--node=--single-threaded-gc`: flags of the router's process.
import { setTimeout as sleep } from "node:timers/promises";
import { bundle } from "./kit/bundle.mjs";
import { median, round } from "./kit/figures.mjs";
import { createLoad } from "./kit/load.mjs";
import { host } from "./kit/messages.mjs";
import { hasNats, message, publisher, startNats } from "./kit/nats.mjs";
import { createParts } from "./kit/parts.mjs";
import { commandLine, report } from "./kit/report.mjs";
import { startOpencfOnBus } from "./proxies/opencf-on-bus.mjs";

const options = commandLine(import.meta.url, { apps: 20_000, beats: 20_000, burst: 100_000, seconds: 4, rounds: 5, engine: "native", node: "", rate: 0, pin: true });
const { apps, beats, burst, seconds } = options;
if (!hasNats()) {
  console.error("nats-server is not on the PATH");
  process.exit(1);
}
const [heard, unheard] = ["router.register", "bench.unheard"];
const parts = await createParts({ pin: options.pin });
try {
  const nats = await startNats(parts);
  const meter = await parts.node(new URL("./kit/meter-process.mjs", import.meta.url));
  const { port, part: router } = await startOpencfOnBus({ parts, module: await bundle(parts.folder, { bus: true }), engine: options.engine, nats, nodeArgs: options.node.split(" ").filter(Boolean) });
  const publishing = await parts.node(new URL("./kit/heartbeats-process.mjs", import.meta.url), { args: { nats } });
  const live = await publisher(nats);
  live.write(message(heard, { host: "127.0.0.1", port: meter.hello.port, uris: [host], app: "live" }));
  const until = async (check) => { for (const end = Date.now() + 60_000; !check(await router.ask({}));) { if (Date.now() > end) throw new Error(`the router did not take it in: ${check}`); await sleep(20); } };
  await until(({ routes }) => routes === 1);
  /** Between the first request and the first message. */
  const leadMs = 200;
  const takenIn = ({ registrations, dropped_messages: dropped }) => registrations + dropped;

  const most = options.rate || await maximum(await createLoad(parts), port);
  const perSecond = options.rate || Math.round(most / 2);
  await publishing.ask({ subject: heard, from: 0, count: apps });
  await until(({ routes }) => routes === apps + 1);

  /** Requests for `seconds`, and what `meanwhile` publishes while they go on. */
  const measure = async (meanwhile, during = seconds) => {
    const before = await router.ask({});
    const heardOf = meanwhile?.subject === heard ? meanwhile.total ?? meanwhile.count : 0;
    const begun = performance.now();
    let [turnMs, heldMs, inS, over] = [0, 0, undefined, false];
    const isIn = (now) => takenIn(now) >= takenIn(before) + heardOf;
    /** Each answer is about the time since the last one. */
    const look = async () => {
      const now = await router.ask({});
      [turnMs, heldMs] = [Math.max(turnMs, now.turnMs), Math.max(heldMs, now.heldMs)];
      return now;
    };
    const looking = (async () => {
      while (heardOf > 0 && !over && inS === undefined) {
        await sleep(100);
        if (isIn(await look())) inS = (performance.now() - begun - leadMs) / 1_000;
      }
    })();
    const [waits, sent] = await Promise.all([meter.ask({ port, perSecond, ms: during * 1_000 }), meanwhile === undefined ? undefined : sleep(leadMs).then(() => publishing.ask(meanwhile))]);
    over = true;
    await looking;
    const ended = await look();
    const complete = isIn(ended);
    await until(isIn);
    const after = await router.ask({});
    return { ...waits, complete, inS, turnMs, heldMs, perS: heardOf === 0 || meanwhile.perSecond === undefined ? undefined : (ended.registrations - before.registrations) / sent.ms * 1_000, dropped: after.dropped_messages - before.dropped_messages };
  };
  const steady = (subject) => ({ subject, from: 0, count: apps, perSecond: beats, total: Math.round(beats * Math.max(0.1, seconds - 0.3)) });
  const kinds = { alone: undefined, unheard: steady(unheard), heard: steady(heard) };
  const rounds = { alone: [], unheard: [], heard: [], burstUnheard: [], burstHeard: [] };
  for (let at = -1; at < options.rounds; at += 1) {
    for (const [kind, meanwhile] of Object.entries(kinds)) {
      const one = await measure(meanwhile);
      if (at >= 0) rounds[kind].push(one);
    }
  }
  let during = Math.min(3, seconds);
  for (let from = 1_000_000; rounds.burstHeard.length < options.rounds; from += burst) {
    const pair = [];
    for (const subject of [unheard, heard]) {
      const fresh = { subject, from, count: burst };
      await publishing.ask({ ...fresh, prepare: true });
      pair.push(await measure(fresh, during));
    }
    if (pair[1].complete) {
      rounds.burstUnheard.push(pair[0]);
      rounds.burstHeard.push(pair[1]);
    } else if ((during *= 2) > 30) throw new Error(`${burst} routes are not taken in within ${during / 2} s`);
  }
  await publishing.ask({ subject: heard, from: 0, count: apps, prepare: true });
  const before = await router.ask({});
  const begun = performance.now();
  await publishing.ask({ subject: heard, from: 0, count: apps, total: apps * 4 });
  await until((now) => takenIn(now) >= takenIn(before) + apps * 4);
  const flood = apps * 4 / (performance.now() - begun) * 1_000;
  const each = ((await router.ask({})).cpuMs - before.cpuMs) / (apps * 4) * 1_000;

  const row = (what, each) => {
    const of = (name, digits = 2) => round(median(each.map((one) => one[name])), digits);
    const to = (base) => round(median(each.map(({ p99 }, at) => p99 / base[at].p99)));
    const steadily = each === rounds.unheard || each === rounds.heard;
    return {
      requests: what, ...(steadily ? { "p99 to alone": to(rounds.alone), "to unheard": to(rounds.unheard) } : {}), "p50 ms": of("p50"), "p99 ms": of("p99"), "p99.9 ms": of("p999"), "most ms": of("most", 1), "worst ms": round(Math.max(...each.map((one) => one.most)), 1),
      "longest turn ms": of("turnMs", 1), "held ms": of("heldMs", 1), "worst held ms": round(Math.max(...each.map((one) => one.heldMs)), 1), "taken in/s": of("perS", 0), ...(steadily ? {} : { "in s": of("inS", 1) }), dropped: each.reduce((sum, { dropped }) => sum + dropped, 0), "lag p99 ms": of("lag99"), errors: each.reduce((sum, { errors }) => sum + errors, 0),
    };
  };
  const engine = `opencf-router (${[options.engine, options.node].filter(Boolean).join(", ")})`;
  report({
    json: options.json, title: "Registrations while requests go on",
    about: { engine, rate: `${perSecond} requests a second${options.rate ? "" : `, half of ${Math.round(most)}`}`, seconds, rounds: options.rounds, pinned: parts.pinned, meterFirst: meter.hello.first },
    tables: [
      { title: `${beats} heartbeats a second of ${apps} apps`, rows: [row("with heartbeats", rounds.heard), row("with messages the router does not hear", rounds.unheard), row("alone", rounds.alone)] },
      { title: `${burst} new routes at once`, rows: [row("with new routes", rounds.burstHeard), row("with messages the router does not hear", rounds.burstUnheard)], notes: [`Heartbeats as fast as they come, and no requests: ${round(flood, 0)} a second, ${round(each, 1)} µs of processor time each.`] },
    ],
  });
  live.destroy();
} finally {
  await parts.end();
}
process.exit();

/** Requests a second with always one under way on each of 64 connections, once its code is warm. */
async function maximum(load, port) {
  await load.open({ port, connections: 64 });
  await load.run(Math.min(2_000, seconds * 1_000));
  const { requests, ms } = await load.run(Math.min(3_000, seconds * 1_000));
  await load.close();
  return requests / ms * 1_000;
}
