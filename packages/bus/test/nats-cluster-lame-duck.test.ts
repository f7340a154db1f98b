import { Type } from "@sinclair/typebox";
import { describe, expect, test } from "vitest";
import { type Bus, createBus, natsTransport } from "@opencf/bus";
import { message } from "../src/schema.ts";
import { startNatsCluster } from "./fixtures/nats-cluster.ts";
import { hasNatsServer } from "./fixtures/nats-server.ts";

const known = { about: "For this test.", from: "component", to: "component" } as const;
const whole = Type.Integer();
const tick = message("test.tick.{sender}", Type.Object({ n: whole }), known);
const task = message("test.task", Type.Object({ n: whole }), { ...known, queue: "workers" });
const question = message("test.{client}.question", Type.Object({ n: whole }), { ...known, reply: Type.Object({ n: whole }) });
const clients = 20;
/** Every sender says so many a second; so many questions are asked, too. */
const perSecond = 100;

interface Client {
  readonly bus: Bus;
  readonly events: string[];
  /** Servers that asked it to leave, and those it has left, by the log. */
  ducked: number;
  moved: number;
  lastMs: number;
  readonly ticks: Map<string, number[]>;
}

describe.skipIf(!hasNatsServer())("a cluster whose servers are renewed one by one", () => {
  test(`${clients} clients move on when a server asks them to: nobody sees a disconnect, no message is lost or comes twice, no question fails`, { timeout: 90_000 }, async () => {
    await using cluster = await startNatsCluster(3);
    const tasks: number[] = [];
    const start = async (index: number): Promise<Client> => {
      const client = { events: [] as string[], ducked: 0, moved: 0, lastMs: 0, ticks: new Map<string, number[]>() };
      const log = { info: (event: string) => void (event === "bus.moved" && client.moved++), warn() {}, error() {} };
      const bus = await createBus({ transport: natsTransport({ servers: cluster.urls, log }), lanes: "single", name: `client/${index}` });
      bus.on(({ type }) => {
        if (type !== "lame_duck") return void (type !== "servers" && client.events.push(type));
        client.ducked++;
        client.lastMs = Date.now();
      });
      bus.subscribe(tick, ({ body, params }) => void (client.ticks.get(params["sender"] as string) ?? client.ticks.set(params["sender"] as string, []).get(params["sender"] as string))?.push(body.n));
      bus.subscribe(task, ({ body }) => void tasks.push(body.n));
      bus.subscribe(question, ({ body, respond }) => respond(body), { params: { client: String(index) } });
      await bus.flush();
      return Object.assign(client, { bus });
    };
    const all = await Promise.all(Array.from({ length: clients }, (_, index) => start(index)));
    // Everybody's wish to listen is known to every server.
    await expect.poll(() => Promise.all(all.map(({ bus }, i) => bus.request(question, { n: i }, { params: { client: String((i + 7) % clients) } }).then(() => true, () => false))), { timeout: 5_000 }).not.toContain(false);

    let n = 0;
    let answered = 0;
    const failed: string[] = [];
    const asking = new Set<Promise<unknown>>();
    const senders = all.slice(0, 3);
    let due = 0;
    let lastMs = Date.now();
    const traffic = setInterval(() => {
      due += (Date.now() - lastMs) * perSecond / 1_000;
      lastMs = Date.now();
      for (; due >= 1; due--) {
        senders.forEach(({ bus }, i) => bus.publish(tick, { n }, { params: { sender: String(i) } }));
        senders[n % 3]?.bus.publish(task, { n });
        const each: Promise<unknown> = (all[n % clients] as Client).bus.request(question, { n }, { params: { client: String((n * 7 + 3) % clients) } })
          .then(() => answered++, (error: unknown) => failed.push(String(error)))
          .finally(() => asking.delete(each));
        asking.add(each);
        n++;
      }
    }, 10);
    const took: number[] = [];
    for (const node of cluster.nodes) {
      const before = all.map(({ ducked }) => ducked);
      const asked = Date.now();
      node.lameDuck();
      const gone = (): Client[] => all.filter(({ ducked }, i) => ducked > (before[i] as number));
      // A server tells all its clients at the same moment.
      await expect.poll(() => gone().length > 0 && gone().every(({ ducked, moved, lastMs: toldMs }) => ducked === moved && Date.now() - toldMs > 1_000), { timeout: 15_000 }).toBe(true);
      took.push(Date.now() - asked);
      await node.kill();
      await node.restart();
      // The new one is known to the other two, and they to it, before the next one goes.
      await new Promise((done) => setTimeout(done, 1_500));
    }
    clearInterval(traffic);
    await Promise.all(asking);
    await Promise.all(all.map(({ bus }) => bus.flush()));
    const expected = Array.from({ length: n }, (_, i) => i);
    await expect.poll(() => [tasks.length, ...all.flatMap(({ ticks }) => [...ticks.values()].map(({ length }) => length))], { timeout: 5_000 }).toEqual(Array.from({ length: 1 + 3 * clients }, () => n));
    console.info(`${n} ticks of 3 senders to ${clients} clients, ${n} tasks, ${answered} answers; ${all.reduce((sum, { moved }) => sum + moved, 0)} moves, servers left after ${took.join(", ")} ms`);
    for (const [i, { events, ticks }] of all.entries()) {
      expect(events, `client ${i}`).toEqual([]);
      for (const [sender, numbers] of ticks) expect(numbers, `sender ${sender} to client ${i}`).toEqual(expected);
    }
    expect(tasks.sort((a, b) => a - b)).toEqual(expected);
    expect(failed).toEqual([]);
    expect(answered).toBe(n);
    expect(all.reduce((sum, { moved }) => sum + moved, 0)).toBeGreaterThanOrEqual(clients);
    await Promise.all(all.map(({ bus }) => bus[Symbol.asyncDispose]()));
  });
});
