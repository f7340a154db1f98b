import { describe, expect, test } from "vitest";
import { type Crew, startCrew } from "./fixtures/cluster-crew.ts";
import { type Beacons, startBeacons } from "./fixtures/cluster-beacons.ts";
import { linesOf, mayHaveLeft, reached, spansOf, stalledMs } from "./fixtures/cluster-judge.ts";
import type { Span } from "./fixtures/cluster-messages.ts";
import { startNatsCluster } from "./fixtures/nats-cluster.ts";
import { hasNatsServer, type NatsServer } from "./fixtures/nats-server.ts";

/** How long all servers are away: a minute in the long form. */
const outageMs = process.env["OPENCF_LONG"] ? 60_000 : 8_000;
const processes = 5;
const clients = 50;
const requestsPerSecond = 200;
/** The promise: so long after a server is there every client is back. */
const backWithinMs = 5_000;
/** A request that the connection left alone fails by then: two turns of an event loop, and a machine with other things to do. */
const cutWithinMs = 500;
/** How long is waited for what must come: it is only ever used up by a failure. */
const patienceMs = 60_000;
const maxRssBytes = 256 * 1_048_576;
const maxGrowthBytes = 128 * 1_048_576;

interface Stage {
  readonly name: string;
  readonly killedMs: number;
  /** From then on a server was there that stayed. */
  readonly thereMs: number;
  readonly untilMs: number;
}

const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

/**
 * Events said in a span: arrivals that were promised, those there were, those promised and missing, and events that may still be on their way.
 * No time of the machine counts: what is promised to whom follows from what the sender and the listener saw before and after.
 */
function judgeEvents({ books }: Crew, beacons: Beacons, fromMs: number, toMs: number): { promised: number; arrived: number; missing: string[]; open: number } {
  const judged = { promised: 0, arrived: 0, missing: [] as string[], open: 0 };
  for (const said of books.said.filter(({ atMs }) => atMs >= fromMs && atMs < toMs)) {
    const spans = spansOf(said, books);
    if (!spans) judged.open++;
    for (const [subscriber, heard] of books.heard) {
      const there = heard.has(said.id);
      const promised = spans?.some((span) => reached(subscriber, span, beacons.upIn(span), books)) ?? false;
      if (there) judged.arrived++;
      if (promised) judged.promised++;
      if (promised && !there) judged.missing.push(`${said.id}${said.away ? " (away)" : ""} to ${subscriber}`);
    }
  }
  return judged;
}

/** Pairs of events that one listener was to get over one connection of their sender, and got the wrong way round; and how many it got the right way. */
function judgeOrder({ books }: Crew, beacons: Beacons): { right: number; wrong: string[] } {
  const judged = { right: 0, wrong: [] as string[] };
  const sent = books.said.flatMap((said) => {
    const toMs = said.kept ? undefined : books.confirmed.get(said.id);
    return toMs === undefined ? [] : [{ ...said, span: { fromMs: said.atMs, toMs } }];
  });
  const broke = (client: number, { fromMs, toMs }: Span): boolean => books.statuses.some((each) => each.client === client && each.atMs >= fromMs && each.atMs <= toMs);
  for (const [subscriber, heard] of books.heard) {
    const places = new Map([...heard.keys()].map((id, place) => [id, place]));
    for (const [at, later] of sent.entries()) {
      const earlier = sent.slice(0, at).findLast(({ client }) => client === later.client);
      if (!earlier || broke(later.client, { fromMs: earlier.atMs, toMs: later.span.toMs })) continue;
      if (![earlier, later].every(({ span }) => reached(subscriber, span, beacons.upIn(span), books))) continue;
      if ((places.get(earlier.id) ?? 0) < (places.get(later.id) ?? Infinity)) judged.right++;
      else judged.wrong.push(`${later.id} before ${earlier.id} at ${subscriber}`);
    }
  }
  return judged;
}

/** Heartbeats that were kept: what was superseded and arrived all the same, and newest ones that did not arrive where they were promised. */
function judgeBeats({ books }: Crew, beacons: Beacons): { newest: number; wrong: string[] } {
  const wrong: string[] = [];
  let newest = 0;
  const lines = linesOf(books, clients);
  for (const { client, beats } of books.kept) {
    const [last, line] = [beats.at(-1), lines[client]];
    if (!last || !line) continue;
    const superseded = beats.filter(({ atMs }, i) => i < beats.length - 1 && !mayHaveLeft(line, { fromMs: atMs, toMs: beats[i + 1]?.atMs ?? atMs }));
    const [span] = spansOf({ id: "", client, atMs: last.atMs, kept: true }, books) ?? [];
    for (const [listener, heard] of books.beats) {
      for (const { seq } of superseded) if (heard.has(`${client}/${seq}`)) wrong.push(`${client}/${seq} was superseded, ${listener} heard it`);
      // One that left on an earlier connection went down with it: nobody promised to repeat it.
      if (!span || mayHaveLeft(line, { fromMs: last.atMs, toMs: span.fromMs - 1 }) || !reached(listener, span, beacons.upIn(span), books)) continue;
      newest++;
      if (!heard.has(`${client}/${last.seq}`)) wrong.push(`${client}/${last.seq} was the newest, ${listener} did not hear it`);
    }
  }
  return { newest, wrong };
}

/**
 * The longest way back in a stage, from the own loss on or from when a server was there again. What the promise cannot cover is the time
 * in which the machine let the client's process or a server not run: timers that come late in the one, and a voice at the other that
 * waits for its answer, show it. That is taken off, so that a busy machine does not break the promise and a slow client does.
 */
function worstBackMs({ books, processOf }: Crew, beacons: Beacons, { thereMs, killedMs, untilMs }: Stage): { came: number; rawMs: number; ms: number } {
  const worst = { came: 0, rawMs: 0, ms: 0 };
  for (const [client, { changes }] of linesOf(books, clients).entries())
    for (const [i, { connected, atMs }] of changes.entries()) {
      if (!connected || atMs < killedMs || atMs >= untilMs) continue;
      const span = { fromMs: Math.max(thereMs, changes[i - 1]?.atMs ?? 0), toMs: atMs };
      const rawMs = atMs - span.fromMs;
      worst.came++;
      worst.rawMs = Math.max(worst.rawMs, rawMs);
      worst.ms = Math.max(worst.ms, rawMs - stalledMs(books.stalls.get(processOf(client)) ?? [], span) - Math.max(...beacons.stalls.map((stalls) => stalledMs(stalls, span))));
    }
  return worst;
}

const twice = (counts: ReadonlyMap<string, number>): string[] => [...counts].filter(([, n]) => n > 1).map(([key, n]) => `${key}: ${n} times`);
function countsOf(keys: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const key of keys) counts.set(key, (counts.get(key) ?? 0) + 1);
  return counts;
}

describe.skipIf(!hasNatsServer())("a cluster whose servers are killed", () => {
  test(`${clients} clients in ${processes} processes come back within ${backWithinMs} ms, nothing is done twice, what was kept arrives once`, { timeout: outageMs + 400_000 }, async () => {
    await using cluster = await startNatsCluster(3, { jetStream: false });
    await using beacons = await startBeacons(cluster.nodes);
    await using crew = await startCrew({ servers: cluster.urls, processes, clientsEach: clients / processes, perSecond: requestsPerSecond });
    const { books } = crew;
    const connected = (): number => linesOf(books, clients).filter((line) => line.connected).length;
    /** Answers a second, once there is a second in which no attempt fails. */
    const quiet = async (): Promise<number> => {
      const failed = (): number => Object.values(books.failed).reduce((sum, n) => sum + n, 0);
      let perSecond = 0;
      await expect.poll(async () => {
        const [answered, failedBefore, atMs] = [books.answered, failed(), Date.now()];
        await pause(1_000);
        perSecond = Math.round((books.answered - answered) * 1_000 / (Date.now() - atMs));
        return failed() - failedBefore;
      }, { timeout: patienceMs, message: "attempts that fail in a second in which nothing happens" }).toBe(0);
      return perSecond;
    };

    const kill = async (name: string, nodes: readonly NatsServer[], awayMs = 0): Promise<Stage> => {
      const killedMs = Date.now();
      await beacons.kill(nodes);
      // A server is there when it has let somebody in who knocks all the time.
      let thereMs = killedMs;
      if (nodes.length === cluster.nodes.length) {
        await expect.poll(connected, { timeout: patienceMs }).toBe(0);
        await pause(awayMs - (Date.now() - killedMs));
        await beacons.restart(nodes.slice(0, 1));
        thereMs = await beacons.answers(cluster.nodes.indexOf(nodes[0] as NatsServer));
      }
      // Longer than the promise, which is judged by the clients' own times in the end: some went, all came, and all told.
      await expect.poll(() => {
        const { length } = books.statuses.filter(({ atMs, connected: up }) => atMs >= killedMs && !up);
        return length > 0 && linesOf(books, clients).filter((line) => !line.connected || line.backMs > Date.now() - 500).length;
      }, { timeout: patienceMs, interval: 50, message: "clients that are not back" }).toBe(0);
      const backMs = Date.now();
      await beacons.restart(nodes);
      await expect.poll(() => judgeEvents(crew, beacons, killedMs, backMs), { timeout: patienceMs, interval: 200 }).toMatchObject({ missing: [], open: 0 });
      // The next one falls when all are reached by all servers again: only then is anything promised.
      await expect.poll(() => [...books.heard.keys()].filter((client) => !reached(client, { fromMs: Date.now() - 500, toMs: Date.now() - 500 }, [...cluster.nodes.keys()], books)), { timeout: patienceMs }).toEqual([]);
      const before = books.answered;
      await expect.poll(() => books.answered - before, { timeout: patienceMs }).toBeGreaterThan(requestsPerSecond / 4);
      expect(crew.exits).toEqual([]);
      return { name, killedMs, thereMs, untilMs: Date.now() };
    };

    const steady = await quiet();
    const [one, two, three] = cluster.nodes as [NatsServer, NatsServer, NatsServer];
    const stages = [
      await kill("the first", [one]), await kill("the second", [two]), await kill("the third", [three]),
      await kill("two at once", [one, two]), await kill(`all for ${outageMs / 1_000} s`, [one, two, three], outageMs),
    ];
    const after = await quiet();
    const ends = await crew.stop(20_000);

    const events = judgeEvents(crew, beacons, 0, Infinity);
    const order = judgeOrder(crew, beacons);
    const { said } = books;
    const beats = judgeBeats(crew, beacons);
    const backs = stages.map((stage) => ({ stage: stage.name, ...worstBackMs(crew, beacons, stage) }));
    const cut = books.cut.map((span) => span.toMs - span.fromMs - Math.max(...[...books.stalls.values()].map((stalls) => stalledMs(stalls, span))));
    const slowestCut = cut.reduce((worst, ms) => Math.max(worst, ms), 0);
    const mostRss = Math.max(...[...books.rss.values()].map(({ mostBytes }) => mostBytes));
    const growth = Math.max(...[...books.rss.values()].map(({ firstBytes, mostBytes }) => mostBytes - firstBytes));
    const stalls = [...books.stalls.values()].flat().map(({ fromMs, toMs }) => toMs - fromMs);
    const awayEvents = said.filter(({ away }) => away);
    console.info([
      ...backs.map(({ stage, came, ms, rawMs }) => `killed ${stage}: ${came} clients had to come back, the last after ${ms} ms (${rawMs} ms with what the machine took)`),
      `commands: ${books.asked} asked, ${books.answered} answered, ${books.givenUp} given up, ${books.handled.length} run, ${books.deliveries} delivered; ${steady}/s before, ${after}/s after`,
      `failed attempts: ${JSON.stringify(books.failed)}; ${cut.length} without a connection, the slowest took ${slowestCut} ms`,
      `events: ${said.length} said, ${awayEvents.length} of them away; of ${said.length * clients} possible arrivals ${events.promised} promised, ${events.arrived} there, ${events.missing.length} promised and missing; ${order.right} pairs in order`,
      `heartbeats: ${books.kept.length} runs kept, ${books.kept.reduce((sum, { beats: run }) => sum + run.length, 0)} heartbeats in them, ${beats.newest} arrivals promised`,
      `memory of a process: ${Math.round(mostRss / 1e6)} MB at most, grown by ${Math.round(growth / 1e6)} MB; longest stall ${Math.max(0, ...stalls)} ms`,
    ].join("\n"));

    expect(ends).toEqual(Array.from({ length: processes }, () => "0"));
    expect(books.problems).toEqual([]);
    for (const { stage, came, ms } of backs) {
      expect(came, stage).toBeGreaterThan(0);
      expect(ms, stage).toBeLessThan(backWithinMs);
    }
    expect(backs.at(-1)?.came).toBeGreaterThanOrEqual(clients);
    // Each command once, also those that were asked again after the answer; all that were answered were run.
    expect(twice(countsOf(books.handled))).toEqual([]);
    expect(books.deliveries).toBeGreaterThan(books.handled.length);
    expect(books.handled.length).toBeGreaterThanOrEqual(books.answered);
    for (const [client, heard] of books.heard) expect(twice(heard), `events of ${client}`).toEqual([]);
    expect(events.missing).toEqual([]);
    expect(order.wrong).toEqual([]);
    expect(order.right).toBeGreaterThan(clients);
    // Enough was promised, or nothing would have been judged.
    expect(events.promised).toBeGreaterThan(clients * clients);
    expect(awayEvents.length).toBeGreaterThanOrEqual(2 * clients);
    for (const [listener, heard] of books.beats) {
      expect(twice(heard), `heartbeats at ${listener}`).toEqual([]);
      expect(new Set([...heard.keys()].map((key) => key.split("/")[0])).size).toBe(clients);
    }
    expect(beats.wrong).toEqual([]);
    expect(beats.newest).toBeGreaterThan(0);
    expect(slowestCut).toBeLessThan(cutWithinMs);
    for (const each of [steady, after]) expect(each).toBeGreaterThan(0);
    expect(mostRss).toBeLessThan(maxRssBytes);
    expect(growth).toBeLessThan(maxGrowthBytes);
  });
});
