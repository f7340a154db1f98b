import { Type } from "@sinclair/typebox";
import { describe, expect, test } from "vitest";
import { type Bus, createBus, natsTransport } from "@opencf/bus";
import { BusError } from "../src/errors.ts";
import { buffer, drop, latestPerKey } from "../src/policy.ts";
import { message } from "../src/schema.ts";
import { type NatsCluster, startNatsCluster } from "./fixtures/nats-cluster.ts";
import { hasNatsServer, type NatsServer } from "./fixtures/nats-server.ts";

/** How long all servers are away: a minute in the long form. */
const outageMs = process.env["OPENCF_LONG"] ? 60_000 : 8_000;
const clients = 50;
const requestsPerSecond = 200;
const backWithinMs = 5_000;

const known = { about: "For this test.", from: "component", to: "component" } as const;
const heartbeat = message("test.heartbeat", Type.Object({ client: Type.Integer() }), { ...known, onDisconnect: drop });
const state = message("test.state", Type.Object({ client: Type.Integer(), outage: Type.Integer(), step: Type.Integer() }), { ...known, onDisconnect: latestPerKey("client") });
const event = message("test.event", Type.Object({ id: Type.String() }), { ...known, id: "id", onDisconnect: buffer(1_000, 300_000) });
const command = message("test.{client}.command", Type.Object({ id: Type.String() }), { ...known, id: "id", reply: Type.Object({ by: Type.Integer() }) });

interface Client {
  readonly bus: Bus;
  readonly index: number;
  /** Times at which it went and came, in ms. */
  awayMs: number | undefined;
  backMs: number;
  outages: number;
}

/** Everything that is said, and everything that arrived. */
function createBooks() {
  const count = () => {
    const counts = new Map<string, number>();
    return { counts, add: (key: string) => void counts.set(key, (counts.get(key) ?? 0) + 1) };
  };
  return { carriedOut: count(), events: count(), states: count(), heartbeats: count(), kept: new Set<string>(), latest: new Set<string>(), answered: 0, failed: new Map<string, number>() };
}
type Books = ReturnType<typeof createBooks>;

/** What was said while the bus was away and has not arrived. */
const missing = ({ kept, latest, events, states }: Books): string[] => [...[...kept].filter((id) => !events.counts.has(id)), ...[...latest].filter((key) => !states.counts.has(key))];

async function startClient(cluster: NatsCluster, index: number, books: Books): Promise<Client> {
  const bus = await createBus({ transport: natsTransport({ servers: cluster.urls, staleAfterMs: 3_000 }), lanes: "single", name: `client/${index}` });
  const client: Client = { bus, index, awayMs: undefined, backMs: 0, outages: 0 };
  bus.subscribe(command, ({ body, respond }) => {
    books.carriedOut.add(body.id);
    respond({ by: index });
  }, { params: { client: String(index) }, once: true });
  bus.on(({ type }) => {
    if (type === "connected") {
      client.awayMs = undefined;
      client.backMs = Date.now();
    }
    if (type !== "disconnected") return;
    client.awayMs = Date.now();
    const outage = ++client.outages;
    for (const part of [1, 2]) {
      const id = `event ${index}/${outage}/${part}`;
      books.kept.add(id);
      bus.publish(event, { id });
    }
    for (const step of [1, 2, 3]) bus.publish(state, { client: index, outage, step });
    books.latest.add(`${index}/${outage}/3`);
  });
  return client;
}

/** Heartbeats of all, and requests from anybody to anybody; a request that fails is repeated under the same id, as a careful sender does. */
function startTraffic(all: readonly Client[], books: Books): AsyncDisposable {
  let n = 0;
  const running = new Set<Promise<void>>();
  const ask = async (from: Client, to: Client, id: string): Promise<void> => {
    for (let attempt = 0; attempt < 4; attempt++)
      try {
        const { by } = await from.bus.request(command, { id }, { params: { client: String(to.index) }, timeoutMs: 700 });
        expect(by).toBe(to.index);
        return void books.answered++;
      } catch (error) {
        if (!(error instanceof BusError)) throw error;
        books.failed.set(error.code, (books.failed.get(error.code) ?? 0) + 1);
        await new Promise((done) => setTimeout(done, 100));
      }
  };
  const requests = setInterval(() => {
    for (let i = 0; i < requestsPerSecond / 20; i++) {
      const from = all[n++ % clients] as Client;
      const each = ask(from, all[Math.floor(Math.random() * clients)] as Client, `command ${n}`).finally(() => running.delete(each));
      running.add(each);
    }
  }, 50);
  const heartbeats = setInterval(() => all.forEach(({ bus, index }) => bus.publish(heartbeat, { client: index })), 1_000);
  return {
    async [Symbol.asyncDispose]() {
      clearInterval(requests);
      clearInterval(heartbeats);
      await Promise.all(running);
    },
  };
}

describe.skipIf(!hasNatsServer())("a cluster whose servers are killed", () => {
  test(`${clients} clients come back within ${backWithinMs} ms, nothing is done twice, what was kept arrives once`, { timeout: outageMs + 100_000 }, async () => {
    await using cluster = await startNatsCluster(3);
    const books = createBooks();
    const all = await Promise.all(Array.from({ length: clients }, (_, index) => startClient(cluster, index, books)));
    const listener = await createBus({ transport: natsTransport({ servers: cluster.urls }), lanes: "single", name: "listener" });
    listener.subscribe(event, ({ body }) => books.events.add(body.id));
    listener.subscribe(state, ({ body }) => books.states.add(`${body.client}/${body.outage}/${body.step}`));
    listener.subscribe(heartbeat, ({ body }) => books.heartbeats.add(String(body.client)));
    await Promise.all([listener, ...all.map(({ bus }) => bus)].map((bus) => bus.flush()));

    /** Kills servers, and sees to it that all clients are back in time, counted from `thereMs`: when a server is there for them. */
    const kill = async (nodes: readonly NatsServer[], awayMs = 0): Promise<void> => {
      const answeredBefore = books.answered;
      await Promise.all(nodes.map((node) => node.kill()));
      const survivors = nodes.length < cluster.nodes.length;
      let thereMs = Date.now();
      if (!survivors) {
        await expect.poll(() => all.filter(({ bus }) => bus.connected).length, { timeout: 5_000 }).toBe(0);
        await new Promise((done) => setTimeout(done, awayMs));
        await nodes[0]?.restart();
        thereMs = Date.now();
      }
      await expect.poll(() => all.filter(({ bus }) => !bus.connected).map(({ index }) => index), { timeout: backWithinMs + 5_000, interval: 20 }).toEqual([]);
      expect(Math.max(...all.map(({ backMs }) => backMs)) - thereMs).toBeLessThan(backWithinMs);
      await Promise.all(nodes.map((node) => node.restart()));
      // All that was kept has arrived, and conversation goes on.
      await expect.poll(() => missing(books), { timeout: 10_000 }).toEqual([]);
      await expect.poll(() => books.answered - answeredBefore, { timeout: 10_000 }).toBeGreaterThan(requestsPerSecond);
    };

    {
      await using _ = startTraffic(all, books);
      const [one, two, three] = cluster.nodes as [NatsServer, NatsServer, NatsServer];
      await expect.poll(() => books.answered, { timeout: 5_000 }).toBeGreaterThan(requestsPerSecond);
      for (const node of [one, two, three]) await kill([node]);
      await kill([one, two]);
      await kill([one, two, three], outageMs);
    }

    const twice = ({ counts }: { counts: ReadonlyMap<string, number> }) => [...counts].filter(([, times]) => times > 1);
    expect(twice(books.carriedOut)).toEqual([]);
    expect(twice(books.events)).toEqual([]);
    expect([...books.latest].filter((key) => books.states.counts.get(key) !== 1)).toEqual([]);
    expect([...books.states.counts.keys()].filter((key) => !books.latest.has(key))).toEqual([]);
    expect(books.heartbeats.counts.size).toBe(clients);
    expect(books.kept.size).toBeGreaterThanOrEqual(2 * clients);
    await Promise.all([listener, ...all.map(({ bus }) => bus)].map((bus) => bus[Symbol.asyncDispose]()));
  });
});
